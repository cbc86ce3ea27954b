/** Two subscribers of one queue: each has its own position, tables and sequences; what the provider ends, ends on both. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { differences } from "../contents.ts";
import { Job } from "../job.ts";
import { finishedAll } from "../progress.ts";

const SCHEMA = `
  create table t (id integer primary key, v text);
  create table u (id integer primary key, v text);
  create sequence numbers; create sequence down increment -1;`;

describe("two subscribers of one queue", () => {
  let provider: LentDatabase;
  let jobs: [Job, Job];
  let first: LentDatabase;
  let second: LentDatabase;

  beforeAll(async () => {
    [provider, first, , second] = await lendDatabases(4);
    await provider.sql(
      `${SCHEMA} insert into t select i, 'row ' || i from generate_series(1, 5000) i; insert into u values (1, 'u')`,
    );
    await first.sql(SCHEMA);
    await second.sql(SCHEMA);
    jobs = [
      new Job({ provider, subscriber: first, settings: { maint_period: "1" } }),
      new Job({ provider, subscriber: second, settings: { job_name: "second", maint_period: "1" } }),
    ];
    await jobs[0].install();
    await jobs[1].run("subscriber", "install", "conf.ini");
    await jobs[0].run("provider", "add", "conf.ini", "t", "u");
    for (const job of jobs) job.startReplay();
  });
  afterAll(async () => {
    for (const job of jobs ?? []) await job[Symbol.asyncDispose]();
  });

  /** Waits until both have all that was committed before. */
  async function caughtUp(): Promise<void> {
    for (const consumer of ["job", "second"]) await finishedAll(provider, { queue: "q", consumer, timeoutMs: 120_000 });
    for (const job of jobs) await job.allOk();
  }

  async function expectEqual(...tables: string[]): Promise<void> {
    for (const subscriber of [first, second]) expect(await differences({ provider, subscriber }, tables)).toEqual([]);
  }

  it("both copy and follow, one of them while it is behind", async () => {
    for (const job of jobs) await job.run("subscriber", "add", "conf.ini", "t", "u");
    await caughtUp();
    await jobs[1].replay.kill("SIGINT");
    await provider.sql(
      "update t set v = 'changed' where id % 3 = 0; delete from t where id % 7 = 0; insert into u values (2, null)",
    );
    await jobs[0].finished();
    expect(await differences({ provider, subscriber: first }, ["t", "u"])).toEqual([]);
    expect(await differences({ provider, subscriber: second }, ["t"])).toHaveLength(1);
    jobs[1].startReplay();
    await caughtUp();
    await expectEqual("t", "u");
  });

  it("a resync on one does not touch the other", async () => {
    await second.sql("update t set v = 'drifted' where id = 1");
    await jobs[1].run("subscriber", "resync", "conf.ini", "t");
    await provider.sql("update t set v = 'meanwhile' where id = 2");
    await caughtUp();
    await expectEqual("t", "u");
  });

  it("sequences are kept ahead on both, and never moved back", async () => {
    await provider.sql(
      "select nextval('numbers') from generate_series(1, 50); select nextval('down') from generate_series(1, 50)",
    );
    await jobs[0].run("provider", "add-seq", "conf.ini", "numbers", "down");
    for (const job of jobs) await job.run("subscriber", "add-seq", "conf.ini", "--all");
    const values = async (db: LentDatabase) =>
      (await db.sql("select n.last_value, d.last_value from numbers n, down d")).trim().split("|").map(Number);
    for (const db of [first, second]) {
      const [up, down] = await values(db);
      expect(up).toBeGreaterThan(50);
      expect(down).toBeLessThan(-50);
    }
    // One is far ahead by itself: what the provider publishes later is behind it.
    await second.sql("select setval('numbers', 9000000), setval('down', -9000000)");
    await provider.sql(
      "select nextval('numbers') from generate_series(1, 60000); select nextval('down') from generate_series(1, 60000)",
    );
    await waitFor(async () => {
      const [up, down] = await values(first);
      return up! > 60_050 && down! < -60_050;
    }, { what: "the first subscriber's sequences to be ahead" });
    await caughtUp();
    expect(await values(second)).toEqual([9_000_000, -9_000_000]);
  });

  it("a sequence removed on the provider is forgotten on both, its values stay", async () => {
    await jobs[0].run("provider", "remove-seq", "conf.ini", "down");
    await caughtUp();
    for (const job of jobs) expect(await job.run("subscriber", "seqs", "conf.ini")).toBe("public.numbers\n");
    expect(Number(await second.sql("select last_value from down"))).toBe(-9_000_000);
  });

  it("a table removed on the provider is forgotten on both, its rows stay", async () => {
    await jobs[0].run("provider", "remove", "conf.ini", "u");
    await caughtUp();
    for (const job of jobs) {
      expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(/^Table +State\npublic\.t +ok\n$/);
      expect(await job.run("subscriber", "missing", "conf.ini")).toBe("");
    }
    await expectEqual("u");
  });

  it("one is retired, the other goes on and alone holds the queue", async () => {
    await jobs[0].replay.kill("SIGINT");
    await jobs[0].run("subscriber", "unregister", "conf.ini");
    const consumers = (await provider.sql(
      "select consumer_name from pgq.get_consumer_info('q') where consumer_name not like '.%'",
    )).trim();
    expect(consumers).toBe("second");
    await provider.sql("insert into t values (100001, 'without the first')");
    await finishedAll(provider, { queue: "q", consumer: "second", timeoutMs: 120_000 });
    expect(await differences({ provider, subscriber: second }, ["t"])).toEqual([]);
    expect(await differences({ provider, subscriber: first }, ["t"])).toHaveLength(1);
  });
});
