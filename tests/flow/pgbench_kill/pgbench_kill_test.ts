/**
 * pgbench's tables under the load of four clients, while replay is killed with -9 and its sessions are terminated.
 * `SKYQ_LONG=1` goes on for a minute.
 */
import { describe, expect, it } from "vitest";
import postgres from "postgres";
import { lendDatabases } from "../../harness/pair.ts";
import type { LentDatabase } from "../../harness/pair.ts";
import { type Random, seeded } from "../../harness/seed.ts";
import { Job, size } from "../job.ts";

const LOAD_MS = size({ smoke: 12_000, long: 60_000 });
const CLIENT_COUNT = 4;
const [BRANCH_COUNT, TELLER_COUNT, ACCOUNT_COUNT] = [2, 20, 50_000];

/** As `pgbench -i` makes them, the history with a key. */
const SCHEMA = `
  create table pgbench_branches (bid integer primary key, bbalance integer, filler char(88));
  create table pgbench_tellers (tid integer primary key, bid integer, tbalance integer, filler char(84));
  create table pgbench_accounts (aid integer primary key, bid integer, abalance integer, filler char(84));
  create table pgbench_history (
    tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler char(22), hid bigserial primary key);`;
const ROWS = `
  insert into pgbench_branches select n, 0, null from generate_series(1, ${BRANCH_COUNT}) n;
  insert into pgbench_tellers select n, 1 + n / 10, 0, null from generate_series(1, ${TELLER_COUNT}) n;
  insert into pgbench_accounts select n, 1 + n % ${BRANCH_COUNT}, 0, '' from generate_series(1, ${ACCOUNT_COUNT}) n;`;
const TABLES = ["pgbench_branches", "pgbench_tellers", "pgbench_accounts", "pgbench_history"];

/** pgbench's own transaction ("TPC-B (sort of)"), from several clients until it is told to stop. */
class Load {
  transactionCount = 0;
  readonly #sql: postgres.Sql;
  readonly #done: Promise<void[]>;
  #isStopping = false;

  constructor(database: LentDatabase, random: Random) {
    const { host, port, superuser: user } = database.cluster;
    this.#sql = postgres({ host, port, user, database: database.name, max: CLIENT_COUNT, onnotice: () => {} });
    this.#done = Promise.all(Array.from({ length: CLIENT_COUNT }, () => this.#run(random)));
    this.#done.catch(() => {});
  }

  async #run(random: Random): Promise<void> {
    while (!this.#isStopping) {
      const aid = random.int(1, ACCOUNT_COUNT);
      const tid = random.int(1, TELLER_COUNT);
      const bid = random.int(1, BRANCH_COUNT);
      const delta = random.int(-5000, 5000);
      await this.#sql.begin(async (tx) => {
        await tx`update pgbench_accounts set abalance = abalance + ${delta} where aid = ${aid}`;
        await tx`select abalance from pgbench_accounts where aid = ${aid}`;
        await tx`update pgbench_tellers set tbalance = tbalance + ${delta} where tid = ${tid}`;
        await tx`update pgbench_branches set bbalance = bbalance + ${delta} where bid = ${bid}`;
        await tx`
          insert into pgbench_history (tid, bid, aid, delta, mtime) values (${tid}, ${bid}, ${aid}, ${delta}, now())`;
      });
      this.transactionCount += 1;
      // Leaves the machine's two cores something for skyq.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#done;
    await this.#sql.end();
  }
}

/** Ends all of skyq's sessions in one database, as an administrator would. @returns how many */
async function terminateSessions(database: LentDatabase): Promise<number> {
  return Number(
    await database.sql(
      `select count(pg_terminate_backend(pid)) from pg_stat_activity
      where application_name like 'skyq%' and datname = current_database() and pid <> pg_backend_pid()`,
    ),
  );
}

describe("pgbench with kill -9", () => {
  it("ends with equal contents, and never shows half a transaction", async () => {
    const random = seeded("pgbench_kill");
    const [provider, subscriber] = await lendDatabases(2);
    await using job = new Job({ provider, subscriber });
    await provider.sql(SCHEMA + ROWS);
    await subscriber.sql(SCHEMA);
    await job.install();
    job.startReplay();

    const load = new Load(provider, random);
    const counts = { kills: 0, terminations: 0, looks: 0 };
    try {
      await job.add(...TABLES);
      const deadline = performance.now() + LOAD_MS;
      while (performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, random.int(300, 2500)));
        if (random.chance(0.6)) {
          await job.killReplay();
          counts.kills += 1;
          job.startReplay();
        } else {
          counts.terminations += await terminateSessions(random.pick([provider, subscriber]));
        }
        if ([...(await job.states()).values()].every((state) => state === "ok")) {
          counts.looks += 1;
          // Each transaction adds the same to all four: what the subscriber shows is always whole transactions.
          const sums = await subscriber.sql(`
            select count(distinct sum) from (
              select sum(abalance) from pgbench_accounts union all select sum(tbalance) from pgbench_tellers union all
              select sum(bbalance) from pgbench_branches union all select coalesce(sum(delta), 0) from pgbench_history) s`);
          expect(sums.trim()).toBe("1");
        }
      }
    } finally {
      await load.stop();
    }
    await job.caughtUp(120_000);
    console.log(`pgbench_kill: ${load.transactionCount} transactions, ${Deno.inspect(counts)}`);
    expect(counts.kills).toBeGreaterThan(0);
    expect(load.transactionCount).toBeGreaterThan(100);
    expect(await job.differences(...TABLES)).toEqual([]);
    expect(Number(await subscriber.sql("select count(*) from pgbench_history"))).toBe(load.transactionCount);
  }, LOAD_MS + 300_000);
});
