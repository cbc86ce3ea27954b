/** What consumers remember in the database that they write into. */
import { beforeAll, describe, expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { installSchemas, QUEUE_SCHEMAS } from "../../../src/db/install.ts";
import { openSql, type SqlConnection } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";

let database: LentDatabase;
let db: SqlConnection;

/** What a function of the schema answers; int8 as a number. */
async function call(text: string, on: SqlConnection = db): Promise<unknown> {
  const [row] = await on.query<{ answer: unknown }>(`select pgq_ext.${text} as answer`);
  return typeof row!.answer === "bigint" ? Number(row!.answer) : row!.answer;
}

beforeAll(async () => {
  [database] = await lendDatabases(1);
  db = await openSql(parseTarget(database.dsn()));
  await installSchemas(db, { schemas: QUEUE_SCHEMAS, log: silentLog });
});

describe("pgq_ext", () => {
  it("is what pgq_ext 3.1 is", async () => {
    expect([await call("version()"), await call("upgrade_schema()")]).toEqual(["3.1", 0]);
    const columns = await db.query<{ line: string }>(
      `select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
              || case when a.attnotnull then ' not null' else '' end || coalesce(' ' || pg_get_expr(d.adbin, d.adrelid), '') as line
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
         left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = 'pgq_ext'::regnamespace and c.relkind = 'r' order by c.relname, a.attnum`,
    );
    const named = (table: string, ...more: string[]) =>
      ["consumer_id text not null", "subconsumer_id text not null ''::text", ...more].map((text) => `${table}.${text}`);
    expect(columns.map((row) => row.line)).toEqual([
      ...named("completed_batch", "last_batch_id bigint not null"),
      ...named("completed_event", "batch_id bigint not null", "event_id bigint not null"),
      ...named("completed_tick", "last_tick_id bigint not null"),
      ...named("partial_batch", "cur_batch_id bigint not null"),
    ]);
  });

  it("remembers the last batch only, of each consumer and subconsumer", async () => {
    for (const who of ["'c'", "'c', 's'"]) {
      expect(await call(`is_batch_done(${who}, 5)`)).toBe(false);
      expect([await call(`set_batch_done(${who}, 5)`), await call(`set_batch_done(${who}, 5)`)]).toEqual([true, false]);
      expect([await call(`is_batch_done(${who}, 5)`), await call(`is_batch_done('other', 5)`)]).toEqual([true, false]);
      expect(await call(`set_batch_done(${who}, 4)`)).toBe(true);
      expect([await call(`is_batch_done(${who}, 4)`), await call(`is_batch_done(${who}, 5)`)]).toEqual([true, false]);
      expect([await call(`set_batch_done(${who}, 0)`), await call(`is_batch_done(${who}, 4)`)]).toEqual([true, true]);
    }
  });

  it("remembers the events of the batch in hand", async () => {
    for (const who of ["'c'", "'c', 's'"]) {
      expect([await call(`set_event_done(${who}, 7, 1)`), await call(`set_event_done(${who}, 7, 1)`)]).toEqual([
        true,
        false,
      ]);
      expect(await call(`set_event_done(${who}, 7, 2)`)).toBe(true);
      expect([await call(`is_event_done(${who}, 7, 2)`), await call(`is_event_done(${who}, 7, 3)`)]).toEqual([
        true,
        false,
      ]);
      expect(await call(`set_event_done(${who}, 8, 1)`)).toBe(true);
      expect([await call(`is_event_done(${who}, 7, 2)`), await call(`is_event_done(${who}, 8, 1)`)]).toEqual([
        false,
        true,
      ]);
    }
  });

  it("remembers the last tick", async () => {
    expect(await call("get_last_tick('c')")).toBe(null);
    expect([
      await call("set_last_tick('c', 12)"),
      await call("get_last_tick('c')"),
      await call("get_last_tick('c', 's')"),
    ])
      .toEqual([1, 12, null]);
    expect([await call("set_last_tick('c', 's', 3)"), await call("get_last_tick('c', 's')")]).toEqual([1, 3]);
    expect([await call("set_last_tick('c', null)"), await call("get_last_tick('c')")]).toEqual([1, null]);
  });

  it("lets one of two do a batch, and marks nothing that is rolled back", async () => {
    await using other = await openSql(parseTarget(database.dsn()));
    await db.exec("begin");
    expect(await call("set_batch_done('race', 1)")).toBe(true);
    const second = call("set_batch_done('race', 1)", other);
    await db.exec("commit");
    expect(await second).toBe(false);
    await db.exec("begin");
    await call("set_batch_done('race', 2)");
    await db.exec("rollback");
    expect(await call("is_batch_done('race', 2)")).toBe(false);
  });

  it("is open to writers, closed to others", async () => {
    const role = `ext_${database.name}`;
    await db.exec(`create role ${role} login`);
    try {
      await using other = await openSql(parseTarget(database.dsn(role)));
      expect(await call("version()", other)).toBe("3.1");
      await expect(call("set_last_tick('w', 1)", other)).rejects.toThrow("permission denied");
      await db.exec(`grant pgq_writer to ${role}`);
      expect(await call("set_last_tick('w', 1)", other)).toBe(1);
    } finally {
      await db.exec(`drop owned by ${role}; drop role ${role}`);
    }
  });
});
