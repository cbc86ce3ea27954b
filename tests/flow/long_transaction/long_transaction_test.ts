/**
 * A transaction that stays open while the queue is ticked hundreds of times and wants to be rotated: what it writes comes
 * when it has ended, as a whole, and holds nobody else up meanwhile. Beside read committed: a repeatable read writer
 * whose snapshot is older than a rotation, subtransactions, and a prepared transaction.
 */
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster } from "../../harness/cluster.ts";
import { lendDatabases, LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

describe("a transaction that stays open across ticks and rotations", () => {
  // Any writing transaction anywhere on a server holds rotations up, and this one shall be free of others'.
  let cluster: Cluster;
  let job: Job;
  const open: postgres.Sql[] = [];

  beforeAll(async () => {
    cluster = await Cluster.start({ name: "long-transaction", settings: { max_prepared_transactions: "5" } });
    await cluster.createDatabase("d");
    const [, subscriber] = await lendDatabases(2);
    job = new Job({ provider: new LentDatabase(cluster, "d"), subscriber });
    for (const database of [job.provider, job.subscriber]) {
      await database.sql("create table t (id integer primary key, v text); create table other (id serial primary key)");
    }
    await job.install();
    await job.provider.sql(`select pgq.set_queue_config('q', 'rotation_period', '0.1 seconds'),
      pgq.set_queue_config('q', 'ticker_max_lag', '0'), pgq.set_queue_config('q', 'ticker_idle_period', '0.1 seconds')`);
    job.startReplay();
    await job.add("t", "other");
    await job.allOk();
  });
  afterAll(async () => {
    await Promise.allSettled(open.map((sql) => sql.end({ timeout: 1 })));
    await job?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  function session(): postgres.Sql {
    const sql = postgres({
      host: cluster.host,
      port: cluster.port,
      user: cluster.superuser,
      database: "d",
      max: 1,
      onnotice: () => {},
    });
    open.push(sql);
    return sql;
  }

  const switches = async () => Number(await job.provider.sql("select queue_switch_step1 from pgq.queue"));
  const seen = async (table = "t") => (await job.subscriber.sql(`select id from ${table} order by 1`)).trim();

  /** One rotation, as maintenance does it; nodes' watermarks, which move every few minutes, are moved at once. */
  async function rotated(): Promise<void> {
    const before = await switches();
    await waitFor(async () => {
      await job.provider.sql("insert into other default values; select pgq.ticker('q')");
      await job.finished();
      await job.provider.sql(`
        select pgq.register_consumer_at('q', c.consumer_name, j.last_tick)
          from pgq.get_consumer_info('q') c, pgq.get_consumer_info('q', '${job.name}') j
         where c.consumer_name like '.%'`);
      await job.provider.sql("select pgq.maint_rotate_tables_step1('q')");
      await job.provider.sql("select pgq.maint_rotate_tables_step2()");
      return await switches() > before;
    }, { what: "a rotation", pollMs: 50, timeoutMs: 120_000 });
  }

  it("holds nobody up, is seen by nobody before it ends, and whole then", async () => {
    const writer = session();
    await rotated();
    await writer.unsafe(
      "begin; insert into t values (1, 'first'); savepoint s; insert into t values (99, 'taken back')",
    );
    await writer.unsafe("rollback to s; savepoint s; insert into t values (2, 'second'); release s");
    for (let round = 0; round < 40; round++) {
      await job.provider.sql("insert into other default values; select pgq.ticker('q')");
    }
    await job.finished();
    expect(await job.differences("other")).toEqual([]);
    expect(await seen()).toBe("");
    await writer.unsafe("update t set v = 'changed at the end' where id = 1; commit");
    await job.finished();
    expect(await seen()).toBe("1\n2");
    expect(await job.differences("t", "other")).toEqual([]);
  });

  it("is not lost when its snapshot is older than rotations that came before its first row", async () => {
    const writer = session();
    // No transaction id yet: rotations go on.
    await writer.unsafe("begin isolation level repeatable read; select 1 from t");
    for (let round = 0; round < 2; round++) await rotated();
    await job.finished();
    await writer.unsafe("insert into t values (3, 'into the table that was current')");
    await job.finished();
    await writer.unsafe("insert into t values (4, 'and again'); commit");
    await job.finished();
    expect(await job.differences("t", "other")).toEqual([]);
    for (let round = 0; round < 4; round++) await rotated();
    await job.finished();
    expect(await job.differences("t", "other")).toEqual([]);
  });

  it("that was prepared comes when it is committed, over a replay that was killed", async () => {
    const writer = session();
    await writer.unsafe("begin; insert into t values (5, 'prepared'); prepare transaction 'kept'");
    for (let round = 0; round < 20; round++) {
      await job.provider.sql("insert into other default values; select pgq.ticker('q')");
    }
    await job.finished();
    expect(await seen()).not.toContain("5");
    await job.killReplay();
    await job.provider.sql("commit prepared 'kept'");
    job.startReplay();
    await job.finished();
    await rotated();
    await job.finished();
    expect(await job.differences("t", "other")).toEqual([]);
    expect(await job.otherConsumers()).toEqual([]);
  });
});
