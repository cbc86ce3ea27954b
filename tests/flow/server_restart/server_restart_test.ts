/** Servers go away and come back, in every way they do, and nobody has to do anything. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, startPair } from "../../harness/cluster.ts";
import { LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";
import { Writer } from "../writer.ts";

const SCHEMA = `
  create table account (id integer primary key, balance bigint not null default 0);
  create table entry (id bigserial primary key, account_id integer, amount bigint, note text);
  create table late_1 (id integer primary key, filler text);
  create table late_2 (id integer primary key, filler text);`;
const ROWS = `
  insert into account select n from generate_series(1, 100) n;
  insert into late_1 select n, repeat('x', 100) from generate_series(1, 200000) n;
  insert into late_2 select n, repeat('y', 100) from generate_series(1, 200000) n;`;

type Side = "provider" | "subscriber";

describe("server restart", () => {
  let clusters: Record<Side, Cluster>;
  let job: Job;
  let writer: Writer;

  beforeAll(async () => {
    // A crash of the server loses what it had not written to the kernel yet; that is its own business and not lost here.
    const [provider, subscriber] = await startPair();
    clusters = { provider, subscriber };
    for (const cluster of [provider, subscriber]) await cluster.createDatabase("d");
    job = new Job({
      provider: new LentDatabase(provider, "d"),
      subscriber: new LentDatabase(subscriber, "d"),
      settings: { copy_chunk_mb: "1" },
    });
    for (const database of [job.provider, job.subscriber]) await database.sql(SCHEMA);
    await job.provider.sql(ROWS);
    await job.install();
    job.startReplay();
    await job.add("account", "entry");
    await job.allOk();
    writer = new Writer(job.provider, (n) =>
      `update account set balance = balance + ${n} where id = ${1 + n % 100};
       insert into entry (account_id, amount, note) values (${1 + n % 100}, ${n}, 'entry ${n}')`);
  });

  afterAll(async () => {
    await writer?.stop();
    await job?.[Symbol.asyncDispose]();
    await Promise.all(Object.values(clusters ?? {}).map((cluster) => cluster[Symbol.asyncDispose]()));
  });

  /** Waits until a change made from now on has arrived. */
  async function replaysAgain(): Promise<void> {
    const before = writer.committedCount;
    await waitFor(() => writer.committedCount > before, { what: "the writer to write again" });
    await job.caughtUp();
  }

  /** The log since it had `length` characters names the server and says that it tries again. */
  function expectLogToName(side: Side, length: number): void {
    expect(job.log.slice(length)).toMatch(
      new RegExp(`127\\.0\\.0\\.1:${clusters[side].port}.*(connecting again|next try) in \\d+ s`),
    );
    // What the replay's own ticker meets is not taken for another ticker's trouble.
    expect(job.log.slice(length)).not.toMatch(/ERROR Ticker failed/);
    expect(job.log).not.toContain("{ticks: 0, maint: 0, retry: 0}");
  }

  it.each<[Side, string]>([
    ["provider", "fast"],
    ["provider", "immediate"],
    ["subscriber", "fast"],
    ["subscriber", "immediate"],
    ["provider", "kill9"],
    ["subscriber", "kill9"],
  ])("of the %s, %s, while changes are replayed", async (side, how) => {
    const { pid } = job.replay;
    const { length } = job.log;
    if (how === "kill9") {
      await clusters[side].kill9();
      // Long enough for several tries to fail.
      await waitFor(() => (job.log.slice(length).match(/connecting again/g)?.length ?? 0) >= 2, {
        what: "the replay to try twice",
      });
      await clusters[side].restart();
    } else {
      await clusters[side].restart(how === "fast" ? "fast" : "immediate");
    }
    await replaysAgain();
    expectLogToName(side, length);
    expect(job.replay.pid).toBe(pid);
    expect(job.replay.hasEnded).toBe(false);
  });

  it.each<[Side, string]>([["provider", "late_1"], ["subscriber", "late_2"]])(
    "of the %s, killed while table %s is copied",
    async (side, table) => {
      await job.add(table);
      await waitFor(async () =>
        await job.subscriber.sql(
          `select 1 from pg_stat_activity where state = 'active' and query ilike 'copy %${table}%from stdin%'`,
        ) !== "", { what: `the copy of ${table}`, pollMs: 2 });
      await clusters[side].kill9();
      await clusters[side].restart();
      await job.allOk(120_000);
      await replaysAgain();
      expect(job.replay.hasEnded).toBe(false);
    },
    180_000,
  );

  it("leaves both sides equal", async () => {
    await writer.stop();
    expect(writer.committedCount).toBeGreaterThan(20);
    await job.caughtUp();
    expect(await job.differences("account", "entry", "late_1", "late_2")).toEqual([]);
    expect(await job.otherConsumers()).toEqual([]);
  });
});
