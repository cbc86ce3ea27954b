// Cuts the queues of one database into batches, and looks after them: rotation, retried events, vacuum.

import { messageOf, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { Backoff, sleep } from "../../base/time.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import { openSql, type SqlConnection } from "../../db/sql.ts";
import type { Target } from "../../db/target.ts";
import { type MaintOperation, maintOperations, maintRetryEvents, tickAll } from "../../queue/pgq.ts";

/** Read again for each round, so that a reloaded config works at once. */
export interface TickerOptions {
  readonly target: Target;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly tickPeriodMs: number;
  readonly maintPeriodMs: number;
  readonly retryPeriodMs: number;
  readonly statsPeriodMs: number;
  readonly errorPauseMaxMs: number;
  /** The connection is opened anew when it is older than this. */
  readonly connectionLifetimeMs: number;
  /** How often the config was read again: after each time the connection is opened anew. */
  readonly reloadCount: number;
  /** Another ticker has the database: `fail` ends with `already-running`, `stand-by` waits to take over from it. */
  readonly whenTaken: "fail" | "stand-by";
  ready(): Promise<void> | void;
}

const LOCK_KEY = "skyq ticker";
/** How long our own lost session may still hold the lock before another ticker is suspected. */
const PATIENCE_MS = 5_000;
const STAND_BY_MS = 5_000;

/**
 * Ticks until `signal` aborts. Exactly one ticker works on a database, held by a session lock there: two would make
 * ticks whose order differs from their snapshots' order.
 * @throws {SkyqError} before the first connection stands: whatever is wrong; `already-running` by `whenTaken`
 */
export async function runTicker(options: TickerOptions): Promise<void> {
  const { log, signal } = options;
  const counts = { ticks: 0, maint: 0, retry: 0 };
  const end = new AbortController();
  const stopAll = () => end.abort();
  signal.addEventListener("abort", stopAll, { once: true });
  if (signal.aborted) end.abort();
  const holds = { lock: false };
  const loops = [
    tickLoop(options, end.signal, counts, holds),
    periodically(options, end.signal, "maintenance", () => options.maintPeriodMs, holds, async (db) => {
      counts.maint += await runMaintenance(db, log);
    }),
    periodically(options, end.signal, "retry", () => options.retryPeriodMs, holds, async (db) => {
      for (let moved = 1; moved > 0;) counts.retry += moved = await maintRetryEvents(db);
    }),
    statsLoop(options, end.signal, counts),
  ];
  try {
    // Only the tick loop ends by itself, by an error that no retry cures.
    await Promise.race(loops);
  } finally {
    end.abort();
    signal.removeEventListener("abort", stopAll);
    await Promise.allSettled(loops);
  }
}

interface Held {
  lock: boolean;
}

async function tickLoop(
  options: TickerOptions,
  signal: AbortSignal,
  counts: { ticks: number },
  holds: Held,
): Promise<void> {
  const { log } = options;
  const backoff = new Backoff(1_000, options.errorPauseMaxMs);
  let db: SqlConnection | null = null;
  let isReady = false;
  let openedMs = 0;
  let reloadCount = 0;
  while (!signal.aborted) {
    try {
      if (db === null) {
        openedMs = Date.now();
        reloadCount = options.reloadCount;
        db = await openSql(options.target, { applicationName: "skyq ticker" });
        await checkInstalled(db);
        if (!await takeLock(db, options, signal)) break;
        holds.lock = true;
        if (!isReady) await options.ready();
        isReady = true;
      }
      counts.ticks += Number(await tickAll(db));
      backoff.reset();
      await sleep(options.tickPeriodMs, signal);
      if (Date.now() - openedMs > options.connectionLifetimeMs || reloadCount !== options.reloadCount) {
        await db.close();
        db = null;
      }
    } catch (error) {
      holds.lock = false;
      await db?.close().catch(() => {});
      db = null;
      if (signal.aborted) break;
      if (!isReady && options.whenTaken === "fail") throw error;
      if (error instanceof SkyqError && error.fault === "already-running" && !isReady) throw error;
      const pauseMs = backoff.next();
      log.error(`Ticker failed: ${messageOf(error)}; next try in ${Math.ceil(pauseMs / 1000)} s`);
      await sleep(pauseMs, signal);
    }
  }
  await db?.close().catch(() => {});
}

async function checkInstalled(db: Queryable): Promise<void> {
  const { installed } = await one<{ installed: boolean }>(
    db,
    "select pg_catalog.to_regprocedure('pgq.ticker()') is not null as installed",
  );
  if (!installed) {
    throw new SkyqError("not-installed", "Cannot tick: the database has no schema pgq", {
      hint: "Run `skyq provider install` (or `skyq queue install`) first.",
    });
  }
}

/** @returns false when the signal aborted while waiting */
async function takeLock(db: Queryable, options: TickerOptions, signal: AbortSignal): Promise<boolean> {
  const sinceMs = Date.now();
  for (let tries = 0;; tries++) {
    const { taken } = await one<{ taken: boolean }>(
      db,
      "select pg_try_advisory_lock(hashtextextended($1, 0)) as taken",
      [LOCK_KEY],
    );
    if (taken) return true;
    if (options.whenTaken === "fail" && Date.now() - sinceMs > PATIENCE_MS) {
      throw new SkyqError("already-running", "Cannot tick: another ticker works on this database", {
        hint:
          "One ticker runs per database. The replay's own (config key ticker = auto) gives way when it is stopped " +
          "or set to off.",
      });
    }
    if (tries === 0) options.log.info("Another ticker works on this database, standing by");
    if (!await sleep(options.whenTaken === "fail" ? 200 : STAND_BY_MS, signal)) return false;
  }
}

/** Runs `work` on a connection of its own, first at once, then each `periodMs()`, while the tick loop holds the lock. */
async function periodically(
  options: TickerOptions,
  signal: AbortSignal,
  name: string,
  periodMs: () => number,
  holds: Held,
  work: (db: SqlConnection) => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    if (!holds.lock) {
      await sleep(200, signal);
      continue;
    }
    let db: SqlConnection | null = null;
    try {
      db = await openSql(options.target, { applicationName: `skyq ticker ${name}` });
      await work(db);
    } catch (error) {
      if (!signal.aborted) options.log.error(`Ticker's ${name} failed: ${messageOf(error)}`);
    } finally {
      await db?.close().catch(() => {});
    }
    await sleep(periodMs(), signal);
  }
}

async function statsLoop(
  options: TickerOptions,
  signal: AbortSignal,
  counts: { ticks: number; maint: number; retry: number },
): Promise<void> {
  while (await sleep(options.statsPeriodMs, signal)) {
    options.log.stat(counts);
    counts.ticks = counts.maint = counts.retry = 0;
  }
}

/**
 * Runs the operations that `pgq.maint_operations()` lists, each in a transaction of its own. One that fails is logged
 * and does not stop the others; one that says it did something is called again.
 * @returns how many were run
 */
export async function runMaintenance(db: Queryable, log: Logger): Promise<number> {
  let count = 0;
  for (const operation of await maintOperations(db)) {
    try {
      for (let again = true; again; count++) again = await runOperation(db, operation);
    } catch (error) {
      log.error(`Maintenance ${operation.func_name}(${operation.func_arg ?? ""}) failed: ${messageOf(error)}`);
    }
  }
  return count;
}

async function runOperation(db: Queryable, { func_name, func_arg }: MaintOperation): Promise<boolean> {
  const word = func_name.toLowerCase();
  if (word === "vacuum" || word === "vacuum analyze") {
    await db.query(`${word} ${quoteFullName(func_arg ?? "")}`);
    return false;
  }
  const rows = func_arg === null
    ? await db.query<Record<string, unknown>>(`select * from ${quoteFullName(func_name)}()`)
    : await db.query<Record<string, unknown>>(`select * from ${quoteFullName(func_name)}($1)`, [func_arg]);
  const first = rows[0] === undefined ? null : Object.values(rows[0])[0];
  // londiste's and pgq_node's functions answer with a code of 100 or 200 ("done"), which asks for nothing.
  return typeof first === "number" && first !== 0 && !("ret_code" in rows[0]!);
}
