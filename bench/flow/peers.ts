/** Who replicates: skyq, and PostgreSQL's own logical replication. Both behind the same few acts. */
import { Job } from "../../tests/flow/job.ts";
import type { SkyqProcess } from "../../tests/harness/process.ts";
import { waitFor } from "../../tests/harness/wait_for.ts";
import { TABLES } from "../data/t8.ts";
import { cpuSeconds, peakResidentMb } from "./cpu.ts";
import type { Side, Sides } from "./clusters.ts";

/** CPU seconds and memory of one drain. */
export interface Usage {
  /** Of our own process; 0 where the servers do it all. */
  readonly clientCpuS: number;
  readonly subscriberCpuS: number;
  readonly providerCpuS: number;
  /** Peak of our own process, in MB (2^20 bytes). */
  readonly clientPeakMb: number;
}

/** Replicates the bench's tables from one side to the other, while it is started. */
export interface Peer extends AsyncDisposable {
  readonly name: string;
  /** Registers the tables, which are empty; nothing is replayed yet. */
  prepare(): Promise<void>;
  /** Makes what was committed ready to be read; not part of the drain. */
  cut(): Promise<void>;
  start(): Promise<void>;
  /** What it took since it was started. */
  usage(): Promise<Usage>;
  stop(): Promise<void>;
}

const QUEUE = "q";
const LIMIT_MS = 30_000;

async function cpuOf({ sql }: Side, condition: string): Promise<number> {
  const rows = await sql.unsafe(
    `select pid from pg_stat_activity where (datname = current_database()) and ${condition}`,
  );
  return rows.reduce((sum, row) => sum + cpuSeconds(row.pid), 0);
}

/** Whether a change is logged by a trigger per row, as a table gets it unless asked otherwise, or one per statement. */
export type Capture = "row" | "statement";

export class SkyqPeer implements Peer {
  readonly #capture: Capture;
  readonly #sides: Sides;
  readonly #job: Job;
  #process: SkyqProcess | null = null;

  /** @param settings over the config's defaults */
  constructor(sides: Sides, settings: Record<string, string>, capture: Capture = "row") {
    this.#sides = sides;
    this.#capture = capture;
    this.#job = new Job({ provider: sides.provider.database, subscriber: sides.subscriber.database, settings });
  }

  get name(): string {
    return this.#capture === "row" ? "skyq" : "skyq, capture per statement";
  }

  async prepare(): Promise<void> {
    await this.#job.run("provider", "install", "conf.ini");
    await this.#job.run("subscriber", "install", "conf.ini");
    await this.#job.run("provider", "add", "conf.ini", ...TABLES);
    if (this.#capture === "statement") {
      await this.#sides.provider.sql`select skyq.create_capture(${QUEUE}, 'public.t8', '{}', 'statement')`;
    }
    await this.#job.run("subscriber", "add", "conf.ini", ...TABLES, "--expect-sync");
  }

  /** How long events may wait for a tick while the ticker looks, as an interval. */
  async setMaxLag(interval: string): Promise<void> {
    await this.#sides.provider.sql`select pgq.set_queue_config(${QUEUE}, 'ticker_max_lag', ${interval})`;
  }

  async cut(): Promise<void> {
    const { sql } = this.#sides.provider;
    await sql`select pgq.force_tick(${QUEUE})`;
    await sql`select pgq.ticker(${QUEUE})`;
  }

  start(): Promise<void> {
    this.#process = this.#job.startReplay();
    return Promise.resolve();
  }

  /** All it logged, to be shown when something fails. */
  get log(): string {
    return this.#job.log;
  }

  async usage(): Promise<Usage> {
    const { provider, subscriber } = this.#sides;
    const pid = this.#process!.pid;
    return {
      clientCpuS: cpuSeconds(pid),
      clientPeakMb: peakResidentMb(pid),
      subscriberCpuS: await cpuOf(subscriber, "application_name like 'skyq replay%'"),
      providerCpuS: await cpuOf(provider, "application_name like 'skyq replay%'"),
    };
  }

  async stop(): Promise<void> {
    const { code } = await this.#process!.kill("SIGTERM");
    this.#process = null;
    if (code !== 0 && code !== 143) throw new Error(`skyq replay ended with ${code}\n${this.log.slice(-4000)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#job[Symbol.asyncDispose]();
  }
}

export class NativePeer implements Peer {
  readonly name = "native logical replication";
  readonly #sides: Sides;
  readonly #slot: string;
  #hasSubscription = false;

  constructor(sides: Sides) {
    this.#sides = sides;
    this.#slot = sides.provider.database.name;
  }

  async prepare(): Promise<void> {
    const { provider, subscriber } = this.#sides;
    await provider.sql.unsafe(`create publication bench for table ${TABLES.join(", ")}`);
    await subscriber.sql.unsafe(
      `create subscription bench connection '${provider.database.dsn()}' publication bench
         with (slot_name = ${this.#slot}, copy_data = false, enabled = false, create_slot = false)`,
    );
    await provider.sql`select pg_create_logical_replication_slot(${this.#slot}, 'pgoutput')`;
    this.#hasSubscription = true;
  }

  async cut(): Promise<void> {}

  async start(): Promise<void> {
    await this.#sides.subscriber.sql.unsafe("alter subscription bench enable");
  }

  async usage(): Promise<Usage> {
    const { provider, subscriber } = this.#sides;
    return {
      clientCpuS: 0,
      clientPeakMb: 0,
      subscriberCpuS: await cpuOf(subscriber, "backend_type like 'logical replication%worker'"),
      providerCpuS: await cpuOf(provider, "backend_type = 'walsender'"),
    };
  }

  async stop(): Promise<void> {
    const { provider, subscriber } = this.#sides;
    await subscriber.sql.unsafe("alter subscription bench disable");
    // A worker that is still at home would meet the next drain already warm.
    await waitFor(async () => {
      const [slot] = await provider.sql`select active from pg_replication_slots where slot_name = ${this.#slot}`;
      return slot?.active === false;
    }, { what: "the subscription to end its connection", timeoutMs: LIMIT_MS });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasSubscription) return;
    const { subscriber } = this.#sides;
    await this.stop();
    await subscriber.sql.unsafe("drop subscription bench");
  }
}
