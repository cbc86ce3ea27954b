/** A provider of PgQ 2.1 is upgraded while applications write all the time and the old daemons run. */
import postgres from "postgres";
import { describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { skyq } from "../../harness/process.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job, size } from "../job.ts";
import { Replay2, Ticker2 } from "./daemon2.ts";
import { copyTable, equal, makeProvider, makeSubscriber, register, TABLES } from "./pair2.ts";

const WRITERS = 3;

/** Transactions of an application one after the other, as fast as they go, each over several tables and moments. */
class Application implements AsyncDisposable {
  readonly errors: string[] = [];
  transactionCount = 0;
  #isStopping = false;
  readonly #sql: postgres.Sql;
  readonly #done: Promise<void>;

  constructor(provider: LentDatabase, nr: number) {
    const { host, port, superuser: user } = provider.cluster;
    this.#sql = postgres({
      host,
      port,
      user,
      database: provider.name,
      max: 1,
      onnotice: () => {},
      // Who looks for deadlocks at once would be the victim of each.
      connection: { deadlock_timeout: "1ms" },
    });
    this.#done = this.#run(nr);
  }

  async #run(nr: number): Promise<void> {
    for (let i = 0; !this.#isStopping; i++) {
      try {
        await this.#sql.begin(async (tx) => {
          await tx`insert into synced (v, n) values (${`writer ${nr}`}, ${i})`;
          if (i % 3 === 0) await tx`select consumer_name, last_tick from pgq.get_consumer_info('q', null)`;
          if (i % 5 === nr) await new Promise((resolve) => setTimeout(resolve, 10));
          await tx`insert into narrow (v) values (${`writer ${nr}`})`;
          if (i % 4 === nr) await tx`select count(*) from pgq.tick`;
          await tx`update meeting set n = ${i} where id = ${1 + nr}`;
        });
        this.transactionCount++;
      } catch (error) {
        this.errors.push(String(error));
      }
      // Not only full speed: gaps let the upgrade be between two of its steps at any moment.
      if (i % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    await this.#done;
    await this.#sql.end({ timeout: 5 });
  }
}

describe("upgrade of a busy provider of PgQ 2.1", () => {
  it("makes no deadlock in which an application or an old daemon could be the victim", async () => {
    const [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    await makeProvider(provider, ["job"]);
    await makeSubscriber(subscriber);
    await register({ provider, subscriber }, ...TABLES);
    for (const table of TABLES) await copyTable({ provider, subscriber }, table, "ok");
    await using job = new Job({ provider, subscriber, settings: { ticker: "off", lock_timeout: "60" } });
    const run = async (...args: string[]) => {
      const result = await skyq(args, { cwd: job.dir });
      expect([args, result.code, result.stderr]).toEqual([args, 0, expect.anything()]);
      return result.stderr;
    };

    const old = new Replay2({ provider, subscriber }, { queue: "q", consumer: "job" });
    const ticker = new Ticker2(provider);
    const applications = Array.from({ length: WRITERS }, (_, nr) => new Application(provider, nr));
    try {
      // A dry run does all of it on both sides, and takes it back.
      for (let round = 0; round < size({ smoke: 2, long: 30 }); round++) await run("upgrade", "conf.ini", "--dry-run");
      expect(await run("queue", "upgrade", "conf.ini")).toMatch(/Upgrading pgq from 2.1 to 3.5/);
      const seen = applications.map((application) => application.transactionCount);
      for (const [nr, application] of applications.entries()) {
        await waitFor(() => application.transactionCount > seen[nr]!, { what: `application ${nr} to write on` });
      }
    } finally {
      for (const application of applications) await application[Symbol.asyncDispose]();
    }
    expect(applications.map((application) => application.errors)).toEqual(applications.map(() => []));
    await old.finished();
    expect([old.lastError, ticker.lastError]).toEqual([null, null]);
    for (const daemon of [old, ticker]) await daemon[Symbol.asyncDispose]();
    await equal({ provider, subscriber });
  });
});
