/**
 * Everything that can die is killed at random under load: replay, ticker, the copies' sessions, both servers. Nobody
 * does anything about it but start again what an init system would start. `SKYQ_LONG=1` kills two hundred times.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, startPair } from "../../harness/cluster.ts";
import { LentDatabase } from "../../harness/pair.ts";
import { type SkyqProcess, spawnSkyq } from "../../harness/process.ts";
import { seeded } from "../../harness/seed.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job, size } from "../job.ts";
import { Writer } from "../writer.ts";

const KILL_COUNT = size({ smoke: 14, long: 200 });
const ACCOUNT_COUNT = 500;
const ROW_COUNT = size({ smoke: 40_000, long: 200_000 });

/** The balances of both tables change by opposite amounts in each transaction, so their sum tells halves of one. */
const SCHEMA = `
  create table credit (id integer primary key, balance bigint not null default 0);
  create table debit (id integer primary key, balance bigint not null default 0, note text unique);
  create table large (id bigint primary key, n bigint not null default 0, filler text);
  create index on large (n);`;
const ROWS = `
  insert into credit select n from generate_series(1, ${ACCOUNT_COUNT}) n;
  insert into debit select n, 0, 'debit ' || n from generate_series(1, ${ACCOUNT_COUNT}) n;
  insert into large select n, n, repeat('filler ', (n % 20)::int) from generate_series(1, ${ROW_COUNT}) n;`;
const TABLES = ["credit", "debit", "large"];

type Victim = "replay" | "ticker" | "copy" | "provider" | "subscriber";

describe("random kills", () => {
  const random = seeded("random_kills");
  const writers: Writer[] = [];
  let clusters: Record<"provider" | "subscriber", Cluster>;
  let job: Job;
  let ticker: SkyqProcess;

  beforeAll(async () => {
    const [provider, subscriber] = await startPair();
    clusters = { provider, subscriber };
    for (const cluster of [provider, subscriber]) await cluster.createDatabase("d");
    job = new Job({
      provider: new LentDatabase(provider, "d"),
      subscriber: new LentDatabase(subscriber, "d"),
      settings: { parallel_copies: "2", exception_sleep: "1" },
    });
    for (const database of [job.provider, job.subscriber]) await database.sql(SCHEMA);
    await job.provider.sql(ROWS);
    await job.install();
    startTicker();
    job.startReplay();
    await job.add(...TABLES);
    for (const [index, step] of [1, 3].entries()) {
      writers.push(
        new Writer(job.provider, (n) => {
          const id = 1 + (n * 7919 + index) % ACCOUNT_COUNT;
          const large = 1 + (n * 104_729 + index) % ROW_COUNT;
          return `update credit set balance = balance + ${n * step} where id = ${id};
            update debit set balance = balance - ${n * step}, note = 'debit ${id} of writer ${index}' where id = ${id};
            update large set n = n + 1 where id = ${large};
            delete from large where id = ${ROW_COUNT - n * 2 - index};
            insert into large values (${ROW_COUNT + n * 2 + index}, ${n}, null);
            update large set id = -id where id = ${1 + (n * 15_485_863) % ROW_COUNT}`;
        }),
      );
    }
  });

  afterAll(async () => {
    await Promise.all(writers.map((writer) => writer.stop().catch(() => {})));
    await ticker?.kill("SIGKILL");
    await job?.[Symbol.asyncDispose]();
    await Promise.all(Object.values(clusters ?? {}).map((cluster) => cluster[Symbol.asyncDispose]()));
  });

  function startTicker(): void {
    ticker = spawnSkyq(["ticker", "ticker.ini"], { cwd: job.dir });
  }

  /** Ends the sessions of all copies under way. @returns how many */
  async function cutCopies(): Promise<number> {
    const counts = await Promise.all(
      [job.provider, job.subscriber].map((database) =>
        database.sql(
          `select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'skyq copy%'`,
        )
      ),
    );
    return counts.reduce((sum, count) => sum + Number(count), 0);
  }

  async function kill(victim: Victim): Promise<void> {
    switch (victim) {
      case "replay":
        await job.killReplay();
        job.startReplay();
        break;
      case "ticker":
        await ticker.kill("SIGKILL");
        startTicker();
        break;
      case "copy":
        await cutCopies();
        break;
      case "provider":
      case "subscriber":
        await clusters[victim].kill9();
        await clusters[victim].restart();
        // One that was just starting ends with the error of its first connection: the init system starts it again.
        if (ticker.hasEnded) startTicker();
        if (job.replay.hasEnded) job.startReplay();
    }
  }

  it("lose nothing, double nothing and leave nothing behind", async () => {
    const counts: Record<Victim, number> = { replay: 0, ticker: 0, copy: 0, provider: 0, subscriber: 0 };
    for (let kills = 0; kills < KILL_COUNT; kills++) {
      // Half of the time a copy is under way.
      if (random.chance(0.5) && [...(await job.states()).values()].every((state) => state === "ok")) {
        await job.run("subscriber", "resync", "conf.ini", random.pick(TABLES));
      }
      await new Promise((resolve) => setTimeout(resolve, random.int(0, 2000)));
      const victim = random.pick<Victim>(["replay", "replay", "ticker", "copy", "copy", "provider", "subscriber"]);
      await kill(victim);
      counts[victim] += 1;
    }
    await Promise.all(writers.map((writer) => writer.stop()));
    await job.caughtUp(180_000);
    console.log(`random_kills: ${writers.map((w) => w.committedCount)} transactions, ${Deno.inspect(counts)}`);
    expect(writers.every((writer) => writer.committedCount > 20)).toBe(true);
    expect(await job.differences(...TABLES)).toEqual([]);
    expect(
      (await job.subscriber.sql(
        "select (select sum(balance) from credit) + (select sum(balance) from debit) + (select count(*) from londiste.pending_fkeys)",
      )).trim(),
    ).toBe("0");
    await waitFor(async () => (await job.otherConsumers()).length === 0, {
      what: "consumers of copies to be gone",
      timeoutMs: 120_000,
      pollMs: 200,
    });
    expect((await job.subscriber.sql("select consumer_name from pgq_node.get_consumer_info('q')")).trim()).toBe("job");
    for (const table of TABLES) {
      expect(await indexes(job.subscriber, table)).toEqual(await indexes(job.provider, table));
    }
  }, KILL_COUNT * 10_000 + 300_000);
});

async function indexes(database: LentDatabase, table: string): Promise<string> {
  return await database.sql(
    `select indexdef from pg_indexes where tablename = '${table}' order by 1`,
  );
}
