/** The two servers of the demo, the files of its job, and what SQL says about how far replication is. */
import { join } from "node:path";
import { type Cluster, startPair } from "../../tests/harness/cluster.ts";
import { guard, skyqCommand } from "../../tests/harness/process.ts";
import { commandLine, isAlive, signal } from "../../tests/harness/proc.ts";
import type { Random } from "../../tests/harness/seed.ts";
import { waitFor } from "../../tests/harness/wait_for.ts";
import { finishedAll } from "../../tests/flow/progress.ts";
import { Writers } from "./writers.ts";
import { ROWS, SCHEMA, SEQUENCE } from "./tables.ts";

export const QUEUE = "shop_queue";
export const JOB = "demo";
const TICKER_JOB = "demo_ticker";
const CATCH_UP_LIMIT_MS = 120_000;

/** The watcher of a daemon that was started. */
interface Daemon {
  release(): void;
}

/** One database of the demo. */
export class Database {
  constructor(readonly cluster: Cluster, readonly name: string) {}

  /** A libpq keyword string. */
  dsn(): string {
    return this.cluster.dsn(this.name);
  }

  /** Runs statements with none of skyq's code. @returns what `psql -At` prints */
  sql(text: string): Promise<string> {
    return this.cluster.sql(this.name, text);
  }
}

export class Shop implements AsyncDisposable {
  readonly provider: Database;
  readonly subscriber: Database;
  readonly #clusters: readonly Cluster[];
  readonly #daemons: Daemon[] = [];
  #writers: Writers | null = null;
  /** The command that was run last. */
  #command: Promise<unknown> = Promise.resolve();
  #isFailed = false;

  private constructor(clusters: readonly [Cluster, Cluster], readonly dir: string) {
    this.#clusters = clusters;
    this.provider = new Database(clusters[0], "shop");
    this.subscriber = new Database(clusters[1], "reports");
  }

  /** Two servers, the tables on both, rows in the provider's, and the two config files. */
  static async open(): Promise<Shop> {
    const shop = new Shop(await startPair(), Deno.makeTempDirSync({ dir: "/tmp", prefix: "skyq-demo-" }));
    try {
      for (const database of [shop.provider, shop.subscriber]) {
        await database.cluster.createDatabase(database.name);
        await database.sql(SCHEMA);
      }
      await shop.provider.sql(ROWS);
      shop.#writeConfig();
      return shop;
    } catch (error) {
      await shop[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts applications that write to the provider; {@link Writers.stop} ends them, or the shop's own end. */
  startWriters(count: number, random: Random): Writers {
    const { host, port, superuser: user } = this.provider.cluster;
    return this.#writers = new Writers({ host, port, user, database: this.provider.name }, count, random);
  }

  get major(): number {
    return this.provider.cluster.major;
  }

  #writeConfig(): void {
    const files = `logfile = ${this.dir}/%(job_name)s.log\npidfile = ${this.dir}/%(job_name)s.pid\n`;
    Deno.writeTextFileSync(
      join(this.dir, "demo.ini"),
      `[skyq]\njob_name = ${JOB}\nprovider_db = ${this.provider.dsn()}\nsubscriber_db = ${this.subscriber.dsn()}\n` +
        `pgq_queue_name = ${QUEUE}\n${files}`,
    );
    Deno.writeTextFileSync(
      join(this.dir, "ticker.ini"),
      `[skyq]\njob_name = ${TICKER_JOB}\ndb = ${this.provider.dsn()}\n${files}`,
    );
  }

  config(name: string): string {
    return Deno.readTextFileSync(join(this.dir, name));
  }

  /**
   * Runs skyq as a person would type it, its output passed on line by line.
   * @throws {Error} when it ends with anything but 0
   */
  async skyq(line: string, print: (line: string) => void): Promise<string> {
    const args = line.split(" ");
    const [program = "", ...first] = skyqCommand();
    const ended = new Deno.Command(program, { args: [...first, ...args], cwd: this.dir, stdin: "null" }).output();
    this.#command = ended;
    const { code, stdout, stderr } = await ended;
    const decoder = new TextDecoder();
    const text = decoder.decode(stdout);
    for (const part of (decoder.decode(stderr) + text).split("\n")) if (part !== "") print(part);
    if (code !== 0) throw new Error(`"skyq ${line}" ended with ${code}`);
    if (args.includes("-d")) this.#guardDaemon(args.includes("demo.ini") ? JOB : TICKER_JOB);
    return text;
  }

  /** From now on the daemon ends with this process, whatever happens to it. */
  #guardDaemon(job: string): void {
    const pid = this.pidOf(job);
    this.#daemons.push({ release: guard(pid) });
  }

  pidOf(job: string): number {
    return Number(Deno.readTextFileSync(join(this.dir, `${job}.pid`)).split("\n")[0]);
  }

  /** @returns `null` when there is no pidfile, or it has outlived its process */
  #livePidOf(job: string): number | null {
    try {
      const pid = this.pidOf(job);
      return isAlive(pid) && commandLine(pid).includes(".ini") ? pid : null;
    } catch {
      return null;
    }
  }

  /** kill -9, as a machine short of memory does it. @returns the process's id */
  async killReplay(): Promise<number> {
    const pid = this.pidOf(JOB);
    signal(pid, "SIGKILL");
    await waitFor(() => !isAlive(pid), { what: "the end of the replay" });
    return pid;
  }

  /** Waits until rows of `orders` are being copied at this very moment. @returns false when the copy was over first */
  async copyInProgress(): Promise<boolean> {
    const state = await waitFor(async () => {
      const [merge, copies] = (await this.subscriber.sql(
        `select (select merge_state from londiste.table_info where table_name = 'public.orders'),
                (select count(*) from pg_stat_activity where state = 'active' and query ilike 'copy %orders%from stdin%')`,
      )).trim().split("|");
      return copies !== "0" ? "copying" : merge === "ok" ? "over" : null;
    }, { what: "the copy of orders", timeoutMs: CATCH_UP_LIMIT_MS, pollMs: 5 });
    return state === "copying";
  }

  /** Seconds between now and the last tick that the replay has finished. */
  async lagS(): Promise<number> {
    const text = await this.provider.sql(
      `select extract(epoch from lag) from pgq.get_consumer_info('${QUEUE}', '${JOB}')`,
    );
    return Number(text.trim());
  }

  /** Waits until everything that was committed before this call has been replayed, and all tables are `ok`. */
  async caughtUp(): Promise<void> {
    await finishedAll(this.provider, { queue: QUEUE, consumer: JOB, timeoutMs: CATCH_UP_LIMIT_MS });
    await waitFor(async () => {
      const busy = await this.subscriber.sql(
        "select count(*) from londiste.table_info where local and merge_state is distinct from 'ok'",
      );
      return busy.trim() === "0";
    }, { what: "all tables to be ok", timeoutMs: CATCH_UP_LIMIT_MS, pollMs: 100 });
  }

  /** Both sides' last values of the sequence, once the subscriber's is not behind. */
  async sequenceValues(): Promise<{ provider: bigint; subscriber: bigint }> {
    return await waitFor(async () => {
      const [provider, subscriber] = await Promise.all(
        [this.provider, this.subscriber].map(async (db) =>
          BigInt((await db.sql(`select last_value from ${SEQUENCE}`)).trim())
        ),
      ) as [bigint, bigint];
      return subscriber >= provider ? { provider, subscriber } : null;
    }, { what: `${SEQUENCE} to be ahead on the subscriber`, timeoutMs: CATCH_UP_LIMIT_MS, pollMs: 200 });
  }

  /** What the replay says in its log that it did. */
  replayed(): { events: number; seconds: number } {
    let [events, seconds] = [0, 0];
    const log = Deno.readTextFileSync(join(this.dir, "demo.log"));
    for (const [, count, duration] of log.matchAll(/\{count: (\d+),.*?duration: ([\d.]+)/g)) {
      events += Number(count);
      seconds += Number(duration);
    }
    return { events, seconds };
  }

  /** Keeps all logs when the rest goes. @returns where they are */
  keepLogs(): string {
    this.#isFailed = true;
    for (const cluster of this.#clusters) {
      Deno.writeTextFileSync(join(this.dir, `${cluster.name}.log`), cluster.logTail(Infinity));
    }
    return this.dir;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // First those who would notice that the servers go.
    await this.#writers?.stop().catch(() => {});
    // ctrl-C may have come while a daemon was started: then only its pidfile tells of it.
    await this.#command.catch(() => {});
    for (const job of [JOB, TICKER_JOB]) {
      const pid = this.#livePidOf(job);
      if (pid === null) continue;
      signal(pid, "SIGKILL");
      await waitFor(() => !isAlive(pid), { what: `the end of process ${pid}` });
    }
    for (const { release } of this.#daemons.splice(0)) release();
    await Promise.all(this.#clusters.map((cluster) => cluster[Symbol.asyncDispose]()));
    if (!this.#isFailed) await Deno.remove(this.dir, { recursive: true }).catch(() => {});
  }
}
