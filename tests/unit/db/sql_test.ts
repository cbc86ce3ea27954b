import { afterAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { one } from "../../../src/db/queryable.ts";
import { openSql } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { Network } from "../../harness/network.ts";
import { lendDatabases } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";

const [database] = await lendDatabases(1);
const target = parseTarget(database.dsn());
const notices: string[] = [];
const db = await openSql(target, { applicationName: "skyq sql", onNotice: ({ message }) => notices.push(message) });
afterAll(() => db.close());

async function failure(work: Promise<unknown>): Promise<SkyqError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SkyqError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}

describe("SqlConnection", () => {
  it("takes and gives values as the wire connection does", async () => {
    const row = await one<Record<string, unknown>>(
      db,
      `select $1::int4 as i, $2::int8 as b, $3::bool as t, $4::text as s, $5::text[] as a, $6::jsonb as j,
              $7::timestamptz as z, $8::bytea as y, $9::date as d, null as n, current_setting('application_name') as name`,
      [
        1,
        9007199254740993n,
        false,
        "a'b\\",
        ['a"b', null, ""],
        '{"a": 1}',
        "2026-01-02 03:04:05+00",
        "\\xdead",
        "2026-01-02",
      ],
    );
    expect(row).toMatchObject({
      i: 1,
      b: 9007199254740993n,
      t: false,
      s: "a'b\\",
      a: ['a"b', null, ""],
      j: '{"a": 1}',
      y: "\\xdead",
      d: "2026-01-02",
      n: null,
      name: "skyq sql",
    });
    expect(row.z).toMatch(/^2026-01-02 0/);
    expect(db.serverVersion).toBeGreaterThan(130000);
    expect(await one(db, "select pg_backend_pid() as pid")).toEqual({ pid: db.processId });
  });

  it("runs several statements, with notices", async () => {
    await db.exec("create table t (a int); insert into t values (1), (2); do $$ begin raise notice 'hello'; end $$");
    expect(await db.query("select a from t order by a")).toEqual([{ a: 1 }, { a: 2 }]);
    expect(notices).toEqual(["hello"]);
    expect(await db.query("select a from t where a > 2")).toEqual([]);
    expect(await db.query("insert into t values (3)")).toEqual([]);
  });

  it("translates errors", async () => {
    const error = await failure(db.query("select $1::int", ["oops"]));
    expect(error.sqlstate).toBe("22P02");
    expect(error.facts.statement).toBe("select $1::int");
    expect((await failure(db.exec("select 1; select * from nowhere"))).sqlstate).toBe("42P01");
    expect(await db.query("select 1 as a")).toEqual([{ a: 1 }]);
  });

  it("commits, rolls back, and refuses to commit what failed", async () => {
    expect(await db.transaction(async (tx) => (await tx.query("insert into t values (10) returning a"))[0]!.a)).toBe(
      10,
    );
    const thrown = new Error("changed my mind");
    await expect(db.transaction(async (tx) => {
      await tx.exec("insert into t values (11)");
      throw thrown;
    })).rejects.toBe(thrown);
    const swallowed = db.transaction(async (tx) => {
      await tx.query("insert into t values (12)");
      await tx.query("select 1/0").catch(() => {});
    });
    expect((await failure(swallowed)).message).toContain("Cannot commit");
    expect(await db.query("select a from t where a >= 10")).toEqual([{ a: 10 }]);
  });

  it("refuses what would wait for itself", async () => {
    await db.transaction(async () => {
      await expect(db.query("select 1")).rejects.toThrow("transaction's own query");
      await expect(db.transaction(() => Promise.resolve())).rejects.toThrow("already");
    });
  });

  it("listens on its own session", async () => {
    const told: string[] = [];
    await db.listen('odd "name"', (payload) => told.push(payload));
    await db.query("select pg_notify($1, 'one')", ['odd "name"']);
    await db.query("select 1");
    expect(told).toEqual(["one"]);
  });

  it("stays lost when the server has ended the session", async () => {
    const victim = await openSql(target);
    const waiting = [victim.query("select pg_sleep(30)"), victim.query("select 1")].map(failure);
    await waitFor(
      async () =>
        (await db.query("select 1 from pg_stat_activity where pid = $1 and query like '%sleep%'", [victim.processId]))
          .length > 0,
      { what: "the statement to begin" },
    );
    await db.query("select pg_terminate_backend($1)", [victim.processId]);
    for (const error of await Promise.all(waiting)) expect(error.fault).toBe("connection-lost");
    expect(victim.isClosed).toBe(true);
    expect((await failure(victim.query("select 1"))).fault).toBe("connection-lost");
    expect((await failure(victim.transaction((tx) => tx.query("select 1")))).fault).toBe("connection-lost");
    await victim.close();
  });

  it("fails, and nothing else does, at whatever moment the server goes away", async () => {
    const network = new Network(database.cluster.port);
    for (let round = 0; round < 100; round++) {
      const victim = await openSql(parseTarget(`${database.dsn()} port=${network.port}`));
      setTimeout(() => network.drop(), round % 15);
      // Some are written, some are put off, some wait for their turn.
      const more = setInterval(() => void victim.query("select 0").catch(() => {}), 0);
      const asking = (async () => {
        for (;;) await Promise.all([1, 2, 3].map((n) => victim.query(`select ${n}`)));
      })();
      expect((await failure(asking)).fault).toBe("connection-lost");
      clearInterval(more);
      await victim.close();
    }
    network.close();
  });

  it("closes, also while a statement runs, and leaves no session", async () => {
    const session = await openSql(target, { applicationName: "skyq closing" });
    const sleeping = failure(session.query("select pg_sleep(3)"));
    await session.close();
    expect((await sleeping).fault).toBe("connection-lost");
    const idle = await openSql(target, { applicationName: "skyq closing" });
    await idle.close();
    const left = "select 1 from pg_stat_activity where application_name = 'skyq closing' and state <> 'active'";
    await waitFor(async () => (await db.query(left)).length === 0, { what: "the sessions to end" });
  });
});
