/** One job of skyq between two databases: its config files, its commands, its daemons, all gone when the test ends. */
import { join } from "node:path";
import type { LentDatabase } from "../harness/pair.ts";
import { skyq, type SkyqProcess, type SkyqResult, spawnSkyq } from "../harness/process.ts";
import { waitFor } from "../harness/wait_for.ts";
import { type Difference, differences } from "./contents.ts";
import { finishedAll } from "./progress.ts";

export interface JobOptions {
  readonly provider: LentDatabase;
  readonly subscriber: LentDatabase;
  /** Added to conf.ini. */
  readonly settings?: Record<string, string>;
}

/** Long forms of the stories: `SKYQ_LONG=1`. */
export function size<T>({ smoke, long }: { smoke: T; long: T }): T {
  return Deno.env.get("SKYQ_LONG") ? long : smoke;
}

export class Job implements AsyncDisposable {
  readonly name = "job";
  readonly queue = "q";
  readonly dir: string;
  readonly provider: LentDatabase;
  readonly subscriber: LentDatabase;
  #replay: SkyqProcess | null = null;

  /** Writes `conf.ini` and `ticker.ini`. With pauses that suit a test: nothing here waits for a second to pass. */
  constructor({ provider, subscriber, settings = {} }: JobOptions) {
    this.provider = provider;
    this.subscriber = subscriber;
    this.dir = Deno.makeTempDirSync({ prefix: "skyq-flow-" });
    const shared = {
      logfile: `${this.dir}/%(job_name)s.log`,
      pidfile: `${this.dir}/%(job_name)s.pid`,
      loop_delay: "0.1",
    };
    this.#writeConfig("conf.ini", {
      job_name: this.name,
      provider_db: provider.dsn(),
      subscriber_db: subscriber.dsn(),
      pgq_queue_name: this.queue,
      ...shared,
      exception_sleep: "2",
      ...settings,
    });
    this.#writeConfig("ticker.ini", { job_name: "ticker", db: provider.dsn(), ...shared });
  }

  #writeConfig(name: string, keys: Record<string, string>): void {
    const lines = Object.entries(keys).map(([key, value]) => `${key} = ${value}`);
    Deno.writeTextFileSync(join(this.dir, name), `[skyq]\n${lines.join("\n")}\n`);
  }

  /** Runs a command in the job's directory, whatever comes of it. */
  try(...args: string[]): Promise<SkyqResult> {
    return skyq(args, { cwd: this.dir });
  }

  /** Runs a command that has to succeed. @returns its stdout */
  async run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...args);
    if (code !== 0) throw new Error(`skyq ${args.join(" ")} ended with ${code}\n${stdout}\n${stderr}`);
    return stdout;
  }

  /** Both installs, and a queue that is cut as soon as there is something in it. */
  async install(): Promise<void> {
    await this.run("provider", "install", "conf.ini");
    await this.run("subscriber", "install", "conf.ini");
    await this.provider.sql(
      `select pgq.set_queue_config('${this.queue}', 'ticker_max_lag', '200 milliseconds')`,
    );
  }

  /** Registers tables on both sides. */
  async add(...tables: string[]): Promise<void> {
    await this.run("provider", "add", "conf.ini", ...tables);
    await this.run("subscriber", "add", "conf.ini", ...tables);
  }

  /** Starts the replay, which ticks as well, in the foreground. */
  startReplay(): SkyqProcess {
    return this.#replay = spawnSkyq(["replay", "conf.ini"], { cwd: this.dir });
  }

  get replay(): SkyqProcess {
    if (this.#replay === null) throw new Error("Cannot use the replay: none was started");
    return this.#replay;
  }

  /** kill -9 of the replay. */
  async killReplay(): Promise<void> {
    await this.replay.kill("SIGKILL");
  }

  /** All that the replays of this job have logged. */
  get log(): string {
    try {
      return Deno.readTextFileSync(join(this.dir, `${this.name}.log`));
    } catch {
      return "";
    }
  }

  /** State by table, as the subscriber's database has it; `null` is NEW. */
  async states(): Promise<Map<string, string | null>> {
    const text = await this.subscriber.sql(
      "select json_object_agg(table_name, merge_state) from londiste.table_info where local",
    );
    return new Map(Object.entries(JSON.parse(text.trim() || "{}") ?? {}));
  }

  /** Waits until every subscribed table is `ok`. */
  async allOk(timeoutMs = 120_000): Promise<void> {
    await this.#explained(() =>
      waitFor(async () => {
        const states = [...(await this.states()).values()];
        return states.length > 0 && states.every((state) => state === "ok");
      }, { what: "all tables to be ok", timeoutMs, pollMs: 50 })
    );
  }

  /** Waits until everything that was committed before this call has been replayed, whatever state tables are in. */
  async finished(timeoutMs = 120_000): Promise<void> {
    await this.#explained(() => finishedAll(this.provider, { queue: this.queue, consumer: this.name, timeoutMs }));
  }

  /** Waits until all tables are `ok` and everything that was committed before this call has been replayed. */
  async caughtUp(timeoutMs = 120_000): Promise<void> {
    await this.finished(timeoutMs);
    await this.allOk(timeoutMs);
  }

  /** Adds states and log to an error. */
  async #explained(wait: () => Promise<unknown>): Promise<void> {
    try {
      await wait();
    } catch (error) {
      const states = await this.states().catch((cause) => cause);
      throw new Error(`${(error as Error).message}
${Deno.inspect(states)}
${this.log.slice(-4000)}`);
    }
  }

  /** Tables whose contents differ, empty when both sides are equal. */
  differences(...tables: string[]): Promise<Difference[]> {
    return differences(this, tables);
  }

  /** Consumers of the queue that are not the job's own: copies that are under way, or were left behind. */
  async otherConsumers(): Promise<string[]> {
    const text = await this.provider.sql(
      `select consumer_name from pgq.get_consumer_info('${this.queue}')
        where consumer_name <> '${this.name}' and consumer_name not like '.%'`,
    );
    return text.split("\n").filter((line) => line !== "");
  }

  /** Ends the replay and removes the files; with `SKYQ_KEEP` the files stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#replay !== null) await this.#replay.kill("SIGKILL");
    if (!Deno.env.get("SKYQ_KEEP")) Deno.removeSync(this.dir, { recursive: true });
  }
}
