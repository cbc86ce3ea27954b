// Cuts queues into batches and looks after them: of one database, or of all databases of a cluster.

import { messageOf, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { Backoff, sleep } from "../../base/time.ts";
import { openSql } from "../../db/sql.ts";
import type { Target } from "../../db/target.ts";
import { type DatabaseOptions, type DatabaseState, serveDatabase, type TickerCounts } from "./database.ts";
import { PATIENCE_MS } from "./lock.ts";

export { runMaintenance } from "./maintenance.ts";

/** Read again for each round, so that a reloaded config works at once. */
export interface TickerOptions extends Omit<DatabaseOptions, "whenUnfit"> {
  readonly statsPeriodMs: number;
  /** Called once, when ticking begins. */
  ready(): Promise<void> | void;
}

/**
 * Ticks one database until `signal` aborts.
 * @throws {SkyqError} before the first connection stands: whatever is wrong; `already-running` by `whenTaken`
 */
export async function runTicker(options: TickerOptions): Promise<void> {
  const whenUnfit = options.whenTaken === "fail" ? "fail" as const : "retry" as const;
  await withStats(options, async (counts) => {
    let isReady = false;
    await serveDatabase(derived(options, { whenUnfit }), counts, async (state) => {
      if (state !== "ticking" || isReady) return;
      isReady = true;
      await options.ready();
    });
  });
}

export interface ClusterOptions extends Omit<TickerOptions, "target"> {
  /** Where the list of databases is read. */
  readonly initialTarget: Target;
  /** Only these; empty: all that can be connected to, but templates. */
  readonly databases: readonly string[];
  targetOf(database: string): Target;
}

/**
 * Ticks all databases of a cluster that have queues, until `signal` aborts. Databases are noticed as they come and go,
 * each `checkPeriodMs`; trouble with one of them is logged and leaves the others alone.
 * @throws {SkyqError} when the list cannot be read at the start; `already-running` when other tickers have all of them
 */
export async function runClusterTicker(options: ClusterOptions): Promise<void> {
  const { log, signal } = options;
  await withStats(options, async (counts) => {
    const served = new Map<string, Served>();
    const backoff = new Backoff(1_000, options.errorPauseMaxMs);
    let isReady = false;
    try {
      while (!signal.aborted) {
        try {
          const names = options.databases.length > 0 ? options.databases : await listDatabases(options.initialTarget);
          for (const name of names) if (!served.has(name)) served.set(name, new Served(name, options, counts));
          for (const [name, one] of served) {
            if (names.includes(name)) continue;
            log.info(`Database "${name}" is no longer served`);
            served.delete(name);
            await one.stop();
          }
          backoff.reset();
        } catch (error) {
          if (!isReady) throw error;
          const pauseMs = backoff.next();
          log.error(`Cannot list databases: ${messageOf(error)}; next try in ${Math.ceil(pauseMs / 1000)} s`);
          await sleep(pauseMs, signal);
          continue;
        }
        if (!isReady) {
          await requireOneToTick([...served.values()], signal);
          await options.ready();
          isReady = true;
        }
        await sleep(options.checkPeriodMs, signal);
      }
    } finally {
      await Promise.all([...served.values()].map((one) => one.stop()));
    }
  });
}

/** One database of the cluster. */
class Served {
  readonly #end = new AbortController();
  readonly #done: Promise<void>;
  /** Settled when it is known what the database is like. */
  readonly known: Promise<DatabaseState>;
  readonly #log: Logger;
  #state: DatabaseState | null = null;

  constructor(readonly name: string, options: ClusterOptions, counts: TickerCounts) {
    this.#log = prefixed(options.log, name);
    const signal = AbortSignal.any([options.signal, this.#end.signal]);
    const { promise, resolve } = Promise.withResolvers<DatabaseState>();
    this.known = promise;
    const own: DatabaseOptions = derived(options, {
      signal,
      log: this.#log,
      whenTaken: "wait" as const,
      whenUnfit: "wait" as const,
      get target() {
        return options.targetOf(name);
      },
    });
    this.#done = serveDatabase(own, counts, (state) => {
      resolve(state);
      if (state === "ticking" && this.#state !== state) this.#log.info("Ticking");
      this.#state = state;
    }).catch((error) => {
      resolve("unfit");
      this.#log.error(`Ticker ended: ${messageOf(error)}`);
    });
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#done;
  }
}

/** @throws {SkyqError} `already-running` when somebody else ticks all that could be ticked */
async function requireOneToTick(all: readonly Served[], signal: AbortSignal): Promise<void> {
  const late = new AbortController();
  const patience = sleep(PATIENCE_MS + 2_000, AbortSignal.any([signal, late.signal])).then(() => null);
  const states = await Promise.all(all.map((one) => Promise.race([one.known, patience])));
  late.abort();
  if (!states.includes("taken") || states.includes("ticking") || states.includes(null)) return;
  throw new SkyqError("already-running", "Cannot tick: another ticker works on all databases that have queues", {
    hint: "One ticker runs per database; stop that one first.",
  });
}

async function listDatabases(target: Target): Promise<string[]> {
  const db = await openSql(target, { applicationName: "skyq ticker list" });
  try {
    const rows = await db.query<{ name: string }>(
      "select d.datname::text as name from pg_database d where d.datallowconn and not d.datistemplate order by 1",
    );
    return rows.map((row) => row.name);
  } finally {
    await db.close();
  }
}

/** Options that differ in a few fixed ones; all others are still read from `options` at each use. */
function derived<T extends object, U extends object>(options: T, own: U): T & U {
  return Object.create(options, Object.getOwnPropertyDescriptors(own)) as T & U;
}

function prefixed(log: Logger, database: string): Logger {
  const name = (message: string) => `${database}: ${message}`;
  return {
    ...log,
    debug: (message) => log.debug(name(message)),
    info: (message) => log.info(name(message)),
    warning: (message) => log.warning(name(message)),
    error: (message) => log.error(name(message)),
    critical: (message) => log.critical(name(message)),
  };
}

/** Writes what `work` counted, each `statsPeriodMs`, as long as it runs. */
async function withStats(
  options: { readonly log: Logger; readonly signal: AbortSignal; readonly statsPeriodMs: number },
  work: (counts: TickerCounts) => Promise<void>,
): Promise<void> {
  const counts: TickerCounts = { ticks: 0, maint: 0, retry: 0 };
  const end = new AbortController();
  const stats = (async () => {
    while (await sleep(options.statsPeriodMs, AbortSignal.any([options.signal, end.signal]))) {
      options.log.stat({ ...counts });
      counts.ticks = counts.maint = counts.retry = 0;
    }
  })();
  try {
    await work(counts);
  } finally {
    end.abort();
    await stats;
  }
}
