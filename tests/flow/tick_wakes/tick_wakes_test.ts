/** A replay that has nothing to do is woken by the tick: its own pause, ten minutes here, is only for ticks of others. */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

describe("a replay with nothing to do", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  const isThere = (count: number) =>
    waitFor(async () => (await subscriber.sql("select count(*) from t")).trim() === String(count), {
      what: `${count} rows on the subscriber`,
      timeoutMs: 120_000,
    });

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    job = new Job({ provider, subscriber, settings: { loop_delay: "600", ticker_period: "0.05" } });
    for (const side of [provider, subscriber]) await side.sql("create table t (id integer primary key)");
    await job.install();
    await job.run("provider", "add", "conf.ini", "t");
    await job.run("subscriber", "add", "conf.ini", "t", "--expect-sync");
    job.startReplay();
    return () => job[Symbol.asyncDispose]();
  });

  it("is woken by each tick", async () => {
    for (let count = 1; count <= 5; count++) {
      await provider.sql(`insert into t values (${count})`);
      await isThere(count);
    }
  });

  it("is woken by the tick that a compare asks for, so that the lock is short", async () => {
    expect(await job.run("compare", "conf.ini", "t")).toMatch(/public\.t +equal +5 +5/);
  });

  it("is woken by `queue tick`", async () => {
    await provider.sql("update pgq.queue set queue_ticker_max_lag = '1 hour', queue_ticker_idle_period = '1 hour'");
    await provider.sql("insert into t values (6)");
    await job.run("queue", "tick", "conf.ini", "q");
    await isThere(6);
  });
});
