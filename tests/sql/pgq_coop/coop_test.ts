/** Workers that share the position of one consumer. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { serverMessage } from "../../../src/db/errors.ts";
import { installSchemas, QUEUE_SCHEMAS } from "../../../src/db/install.ts";
import { openSql, type SqlConnection } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";

let database: LentDatabase;
let db: SqlConnection;
let warnings: string[];

const connect = (user?: string) =>
  openSql(parseTarget(database.dsn(user)), { onNotice: ({ message }) => void warnings.push(message) });

/** The first value of a statement; int8 as a number. */
async function value(sql: string, on: SqlConnection = db): Promise<unknown> {
  const first = Object.values((await on.query(sql))[0] ?? { none: null })[0];
  return typeof first === "bigint" ? Number(first) : first;
}

async function error(sql: string): Promise<string> {
  try {
    return `no error: ${await value(sql)}`;
  } catch (thrown) {
    return serverMessage(thrown as SkyqError);
  }
}

/** Writes events and ticks. */
async function tick(...data: string[]): Promise<void> {
  for (const text of data) await db.query("select pgq.insert_event('q', 't', $1)", [text]);
  await db.query("select pgq.force_tick('q')");
  await db.query("select pgq.ticker('q')");
}

const next = (worker: string, dead?: string) =>
  value(`select pgq_coop.next_batch('q', 'c', '${worker}'${dead === undefined ? "" : `, '${dead}'`})`);
const events = async (batch: unknown) =>
  (await db.query(`select ev_data from pgq.get_batch_events(${batch})`)).map((row) => row.ev_data);
const finish = (batch: unknown) => value(`select pgq_coop.finish_batch(${batch})`);
/** Consumer, last tick, whether a batch is open. */
const states = async () =>
  (await db.query("select consumer_name, last_tick, current_batch from pgq.get_consumer_info('q')"))
    .map((
      row,
    ) => [row.consumer_name, row.last_tick === null ? null : Number(row.last_tick), row.current_batch !== null]);

beforeAll(async () => {
  [database] = await lendDatabases(1);
  warnings = [];
  db = await connect();
  await installSchemas(db, { schemas: QUEUE_SCHEMAS, log: silentLog });
});

afterEach(async () => {
  await db.query("select pgq.drop_queue(queue_name, true) from pgq.queue");
  warnings.length = 0;
});

async function queue(): Promise<void> {
  await db.query("select pgq.create_queue('q')");
}

describe("pgq_coop", () => {
  it("is what pgq_coop 3.1.1 is", async () => {
    expect(await value("select pgq_coop.version()")).toBe("3.1.1");
    const functions = await db.query<{ signature: string }>(
      `select p.oid::regprocedure || ' ' || p.prorettype::regtype as signature from pg_proc p
        where p.pronamespace = 'pgq_coop'::regnamespace and p.proname !~ '^_' order by 1`,
    );
    expect(functions.map((row) => row.signature)).toEqual([
      "pgq_coop.finish_batch(bigint) integer",
      "pgq_coop.next_batch(text,text,text) bigint",
      "pgq_coop.next_batch(text,text,text,interval) bigint",
      "pgq_coop.next_batch_custom(text,text,text,interval,integer,interval) bigint",
      "pgq_coop.next_batch_custom(text,text,text,interval,integer,interval,interval) bigint",
      "pgq_coop.register_subconsumer(text,text,text) integer",
      "pgq_coop.unregister_subconsumer(text,text,text,integer) integer",
      "pgq_coop.version() text",
    ]);
  });

  it("gives each batch to one worker, and each event once", async () => {
    await queue();
    expect(await value("select pgq_coop.register_subconsumer('q', 'c', 'a')")).toBe(1);
    expect(await value("select pgq_coop.register_subconsumer('q', 'c', 'a')")).toBe(0);
    await tick("1");
    await tick("2");
    const a = await next("a");
    const b = await next("b"); // registers itself
    expect([await events(a), await events(b), await next("a"), await next("b")]).toEqual([["1"], ["2"], a, b]);
    expect(await states()).toEqual([["c", 3, false], ["c.a", 1, true], ["c.b", 2, true]]);
    expect([await finish(b), await finish(a)]).toEqual([1, 1]);
    expect([await next("a"), await next("b")]).toEqual([null, null]);
    expect(await states()).toEqual([["c", 3, false], ["c.a", null, false], ["c.b", null, false]]);
    // An event that is to come again comes to whoever is next.
    await tick("3");
    const again = await next("a");
    await value(`select pgq.batch_retry(${again}, 0)`);
    await finish(again);
    await value("select pgq.maint_retry_events()");
    await tick();
    expect(await events(await next("b"))).toEqual(["3"]);
  });

  it("keeps what is being read from being rotated away", async () => {
    await queue();
    await value("select pgq_coop.register_subconsumer('q', 'c', 'a')");
    await tick("1");
    const batch = await next("a");
    for (let round = 0; round < 4; round++) {
      await tick("x");
      await finish(await next("b"));
      await db.query("update pgq.queue set queue_switch_time = queue_switch_time - interval '1 day'");
      await value("select pgq.maint_rotate_tables_step1('q')");
      await value("select pgq.maint_rotate_tables_step2()");
    }
    expect(await events(batch)).toEqual(["1"]);
  });

  it("lets a worker take over from a dead one, who cannot finish it any more", async () => {
    await queue();
    await tick("0");
    for (const worker of ["a", "b", "idle"]) await value(`select pgq_coop.register_subconsumer('q', 'c', '${worker}')`);
    await tick("1");
    await tick("2");
    const lost = await next("a");
    await db.query(
      `update pgq.subscription s set sub_active = now() - interval '1 hour' from pgq.consumer c
        where c.co_id = s.sub_consumer and c.co_name in ('c.a', 'c.idle')`,
    );
    const taken = await next("b", "10 minutes");
    expect(await events(taken)).toEqual(["1"]);
    expect(taken).not.toBe(lost);
    expect(await states()).toEqual([["c", 3, false], ["c.b", 2, true]]);
    expect(await value("select count(*) from pgq.consumer where co_name in ('c.a', 'c.idle')")).toBe(0);
    expect([await finish(lost), warnings]).toEqual([0, [`coop_finish_batch: batch ${lost} not found`]]);
    // He comes back, and gets what is next. Nobody is dead now.
    const back = await next("a", "10 minutes");
    expect(await events(back)).toEqual(["2"]);
    expect(await next("c", "10 minutes")).toBe(null);
    expect([await finish(taken), await finish(back)]).toEqual([1, 1]);
  });

  it("counts as alive who asks, whether or not there is a batch", async () => {
    await queue();
    await next("a");
    await db.query("update pgq.subscription set sub_active = now() - interval '1 hour'");
    await next("a");
    await next("b", "10 minutes");
    expect(await states()).toEqual([["c", 1, false], ["c.a", null, false], ["c.b", null, false]]);
  });

  it("ends workers, and says what it does not do", async () => {
    await queue();
    await next("a");
    await tick("1");
    const batch = await next("a");
    expect(await error("select pgq_coop.unregister_subconsumer('q', 'c', 'a', 0)")).toBe(
      "subconsumer has active batch",
    );
    expect(await value("select pgq_coop.unregister_subconsumer('q', 'c', 'a', 1)")).toBe(1);
    expect(await value("select pgq_coop.unregister_subconsumer('q', 'c', 'a', 1)")).toBe(0);
    expect(await states()).toEqual([["c", 2, false]]);
    expect([await finish(batch), warnings.length]).toEqual([0, 1]);

    expect(await error("select pgq_coop.register_subconsumer('nix', 'c', 'a')")).toBe("Event queue not created yet");
    expect(await error("select pgq_coop.register_subconsumer('q', 'c', '')")).toContain("its name is empty");
    await value("select pgq.register_consumer('q', 'c.own')");
    for (const call of ["register_subconsumer('q', 'c', 'own')", "next_batch('q', 'c', 'own')"]) {
      expect(await error(`select pgq_coop.${call}`)).toBe("Consumer c.own of queue q is no subconsumer of c");
    }
    await tick("2");
    const main = await value("select pgq.next_batch('q', 'c')");
    expect(await error("select pgq_coop.next_batch('q', 'c', 'a')")).toBe("main consumer has batch open?");
    expect(await error(`select pgq_coop.finish_batch(${main})`)).toContain("is not open for a subconsumer");
    await value(`select pgq.finish_batch(${main})`);
    // With its consumer all workers end.
    await next("a");
    await value("select pgq.unregister_consumer('q', 'c')");
    expect((await states()).map(([name]) => name)).toEqual(["c.own"]);
  });

  it("gives no batch to two of many who ask at once", async () => {
    await queue();
    await value("select pgq_coop.register_subconsumer('q', 'c', 'w')");
    for (let nr = 0; nr < 12; nr++) await tick(String(nr));
    const seen = (await Promise.all(["a", "b", "d"].map(async (worker) => {
      await using own = await connect();
      const mine: unknown[] = [];
      for (;;) {
        const batch = await value(`select pgq_coop.next_batch('q', 'c', '${worker}', '1 hour')`, own);
        if (batch === null) return mine;
        mine.push(...(await own.query(`select ev_data from pgq.get_batch_events(${batch})`)).map((row) => row.ev_data));
        await value(`select pgq_coop.finish_batch(${batch})`, own);
      }
    }))).flat();
    expect(seen.toSorted()).toEqual(Array.from({ length: 12 }, (_, nr) => String(nr)).toSorted());
  });

  it("is open to readers, closed to others", async () => {
    const role = `coop_${database.name}`;
    await db.exec(`create role ${role} login`);
    try {
      await queue();
      await using other = await connect(role);
      expect(await value("select pgq_coop.version()", other)).toBe("3.1.1");
      for (const call of ["next_batch('q', 'c', 'a')", "_drop_worker(1, 1)"]) {
        await expect(value(`select pgq_coop.${call}`, other)).rejects.toThrow("permission denied");
      }
      await db.exec(`grant pgq_reader to ${role}`);
      expect(await value("select pgq_coop.next_batch('q', 'c', 'a')", other)).toBe(null);
    } finally {
      await db.exec(`drop owned by ${role}; drop role ${role}`);
    }
  });
});
