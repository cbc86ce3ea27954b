// Three loops look after the queues of one database, each with a connection of its own: ticks, maintenance (rotation,
// vacuum), retried events. The first holds the lock; the other two work only while it does.

import { messageOf, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { AtMostEvery, Backoff, sleep } from "../../base/time.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { openSql, type SqlConnection } from "../../db/sql.ts";
import type { Target } from "../../db/target.ts";
import { lookAtQueues, maintRetryEvents, prepareLook, type QueueLook, tickQueue } from "../../queue/pgq.ts";
import { isMaintenanceUrgent } from "../../queue/skyq.ts";
import { queueGrant, requirePgq } from "../queue_admin/names.ts";
import { STAND_BY_MS, takeTickerLock, TICKER_CHANNEL, tickerLockHolder, type WhenTaken } from "./lock.ts";
import { runMaintenance } from "./maintenance.ts";
import { Pace } from "./pace.ts";
import { RestoredCheck } from "./restored.ts";

/** A queue that is over its size takes three rotations to shrink; its writers may be refused until then. */
const URGENT_MAINT_MS = 2_000;

/** What was done since the last statistics line. */
export interface TickerCounts {
  ticks: number;
  maint: number;
  retry: number;
}

/** Read again for each round, so that a reloaded config works at once. */
export interface DatabaseOptions {
  readonly target: Target;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Pause between two looks at the queues while events come; see `Pace`. */
  readonly tickPeriodMs: number;
  readonly maintPeriodMs: number;
  readonly retryPeriodMs: number;
  /** Pause between two looks whether a database has queues by now. */
  readonly checkPeriodMs: number;
  /** Longest pause after an error. */
  readonly errorPauseMaxMs: number;
  /** Limit for waiting on a lock, 0 for none. */
  readonly lockTimeoutMs: number;
  /** The connection is opened anew when it is older than this. */
  readonly connectionLifetimeMs: number;
  /** How often the config was read again: after each time the connection is opened anew. */
  readonly reloadCount: number;
  readonly whenTaken: WhenTaken;
  /**
   * The database has no queues, or is out of reach, before anything was ticked: `fail` ends with that, `retry` logs it
   * and tries again soon; `wait` takes a database without queues for normal and looks again each `checkPeriodMs`.
   */
  readonly whenUnfit: "fail" | "retry" | "wait";
}

/** Where a database stands: `unfit` it has no queues, or cannot be reached. */
export type DatabaseState = "ticking" | "taken" | "unfit";

/** @internal */
interface Run {
  readonly options: DatabaseOptions;
  readonly signal: AbortSignal;
  readonly counts: TickerCounts;
  readonly telling: Telling;
  readonly onState: (state: DatabaseState) => Promise<void> | void;
  hasLock: boolean;
  /** Queues of a restored database are not all fit to be ticked: maintenance and retry write events as well. */
  isRestored: boolean;
}

/**
 * Serves one database until `signal` aborts.
 * @param counts added to
 * @param onState told about each change, awaited
 * @throws {SkyqError} before the first tick, by `whenTaken` and `whenUnfit`
 */
export async function serveDatabase(
  options: DatabaseOptions,
  counts: TickerCounts,
  onState: (state: DatabaseState) => Promise<void> | void = () => {},
): Promise<void> {
  const end = new AbortController();
  const stopAll = () => end.abort();
  options.signal.addEventListener("abort", stopAll, { once: true });
  if (options.signal.aborted) end.abort();
  const run: Run = {
    options,
    signal: end.signal,
    counts,
    telling: new Telling(options),
    onState,
    hasLock: false,
    isRestored: false,
  };
  let isUrgent = false;
  const maintPeriodMs = () => isUrgent ? Math.min(URGENT_MAINT_MS, options.maintPeriodMs) : options.maintPeriodMs;
  const loops = [
    tickLoop(run),
    periodically(run, "maintenance", maintPeriodMs, async (db) => {
      isUrgent = false;
      counts.maint += await runMaintenance(db, options.log, () => db.isClosed || end.signal.aborted);
      if (!end.signal.aborted) isUrgent = await isMaintenanceUrgent(db);
    }),
    periodically(run, "retry", () => options.retryPeriodMs, async (db) => {
      for (let moved = 1; moved > 0 && !end.signal.aborted;) counts.retry += moved = await maintRetryEvents(db);
    }),
  ];
  try {
    // Only the tick loop ends by itself, by an error that no retry cures.
    await Promise.race(loops);
  } finally {
    end.abort();
    options.signal.removeEventListener("abort", stopAll);
    await Promise.allSettled(loops);
  }
}

async function tickLoop(run: Run): Promise<void> {
  const { options, signal } = run;
  const { log } = options;
  const backoff = new Backoff(1_000, options.errorPauseMaxMs);
  let session: Session | null = null;
  let hasTicked = false;
  while (!signal.aborted) {
    try {
      if (session === null) {
        session = await openSession(run);
        if (session === null) continue;
        run.hasLock = true;
        await run.onState("ticking");
        hasTicked = true;
      }
      const looks = await session.tick();
      backoff.reset();
      await session.pause(looks);
      const isOld = session.isOld();
      if (!isOld && !session.isAskedToYield) continue;
      if (session.isAskedToYield) log.info("A dedicated ticker takes over this database, standing by");
      run.hasLock = false;
      await session.close();
      const pauseMs = session.isAskedToYield ? STAND_BY_MS : 0;
      session = null;
      await sleep(pauseMs, signal);
    } catch (error) {
      run.hasLock = false;
      await session?.close();
      session = null;
      if (signal.aborted) break;
      if (!hasTicked && isFatal(error, options)) throw error;
      const pauseMs = backoff.next();
      log.error(`Ticker failed: ${messageOf(error)}; next try in ${Math.ceil(pauseMs / 1000)} s`);
      await run.onState("unfit");
      await sleep(pauseMs, signal);
    }
  }
  run.hasLock = false;
  await session?.close();
}

function isFatal(error: unknown, { whenTaken, whenUnfit }: DatabaseOptions): boolean {
  const isTaken = error instanceof SkyqError && error.fault === "already-running";
  return isTaken ? whenTaken === "fail" : whenUnfit === "fail";
}

/** @returns null when there is nothing to tick now; then a pause has passed, or the signal aborted */
async function openSession(run: Run): Promise<Session | null> {
  const { options, signal } = run;
  const db = await openSql(options.target, {
    applicationName: "skyq ticker",
    lockTimeoutMs: options.lockTimeoutMs,
    onNotice: run.telling.notice,
  });
  try {
    const reason = await unfitness(db).catch((error: unknown) => {
      if (error instanceof SkyqError && error.fault === "privilege") return error; // not even the schema
      throw error;
    });
    if (reason !== null) {
      // Beside a replay somebody else may be the one who ticks, and one of a cluster's databases may be another's.
      const isOthers = reason.fault === "privilege" && options.whenUnfit !== "fail";
      if (options.whenUnfit !== "wait" && !isOthers) throw reason;
      if (isOthers && await tickerLockHolder(db) === null) run.telling.lack(reason);
      else options.log.debug(reason.message);
      await db.close();
      await run.onState("unfit");
      await sleep(options.checkPeriodMs, signal);
      return null;
    }
    const { whenTaken, log } = options;
    const isOurs = await takeTickerLock(db, { whenTaken, log, signal, onTaken: () => void run.onState("taken") });
    if (isOurs) return await Session.start(db, run);
    await db.close();
    return null;
  } catch (error) {
    await db.close();
    throw error;
  }
}

/** Why the database cannot be ticked, null when it can. */
async function unfitness(db: Queryable): Promise<SkyqError | null> {
  const { installed } = await one<{ installed: boolean }>(
    db,
    "select pg_catalog.to_regprocedure('pgq.ticker(text)') is not null as installed",
  );
  if (!installed) {
    try {
      await requirePgq(db, "Cannot tick");
    } catch (error) {
      if (error instanceof SkyqError && error.fault === "not-installed") return error;
      throw error;
    }
  }
  const { version } = await one<{ version: string | null }>(db, "select pgq.version()::text as version");
  // A script's install of the original may know no version; its functions are those of 3.x by name.
  if (version !== null && version < "3") {
    return new SkyqError("not-installed", `Cannot tick: schema pgq is version ${version}`, {
      hint: "PgQ 3 or newer is needed; upgrade it first.",
    });
  }
  const missing = await missingRights(db);
  if (missing.length === 0) return null;
  return new SkyqError("privilege", `Cannot tick: this role may not call ${missing.join(", ")}`, {
    hint: await queueGrant(db),
  });
}

/** Functions that a ticker calls and this role may not; one who lacks them must not keep others from ticking. */
async function missingRights(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ name: string }>(
    `select p.oid::pg_catalog.regprocedure::text as name
       from pg_catalog.pg_proc p
      where p.oid in (pg_catalog.to_regprocedure('pgq.ticker(text)'), pg_catalog.to_regprocedure('pgq.maint_operations()'),
                      pg_catalog.to_regprocedure('pgq.maint_retry_events()'))
        and not pg_catalog.has_function_privilege(p.oid, 'execute')
      order by 1`,
  );
  return rows.map((row) => row.name);
}

/** What is said of a database without end is said once a minute, whatever numbers are in it. */
class Telling {
  readonly #told = new AtMostEvery(60_000);
  readonly #lacking = new AtMostEvery(3_600_000);

  constructor(readonly options: DatabaseOptions) {}

  warning(text: string): void {
    if (this.#told.allows(text.replace(/\d+/g, ""))) this.options.log.warning(text);
  }

  lack(reason: SkyqError): void {
    if (this.#lacking.allows(reason.message)) this.options.log.warning(`${reason.message}\nhint: ${reason.hint}`);
  }

  /** For `onNotice`. */
  notice = ({ severity, message }: { severity: string; message: string }): void => {
    if (severity === "WARNING") this.warning(message);
  };
}

/** The connection that holds the lock. */
class Session {
  readonly #run: Run;
  readonly #db: SqlConnection;
  readonly #openedMs = performance.now();
  readonly #reloadCount: number;
  readonly #pace = new Pace();
  /** Queues whose last tick failed, and when to try again. */
  readonly #failed = new Map<string, { untilMs: number; readonly backoff: Backoff }>();
  #restored: RestoredCheck | null = null;
  /** Somebody has asked for a look since the last one began. */
  #isCalled = false;
  #wake = () => {};
  isAskedToYield = false;

  private constructor(db: SqlConnection, run: Run) {
    this.#db = db;
    this.#run = run;
    this.#reloadCount = run.options.reloadCount;
  }

  static async start(db: SqlConnection, run: Run): Promise<Session> {
    const session = new Session(db, run);
    session.#restored = await RestoredCheck.begin(db, run.options.log);
    run.isRestored = session.#restored !== null;
    await prepareLook(db);
    await db.listen(TICKER_CHANNEL, (payload) => {
      if (payload === "yield" && run.options.whenTaken === "stand-by") session.isAskedToYield = true;
      if (payload === "yield" && !session.isAskedToYield) return;
      session.#isCalled = true;
      session.#wake();
    });
    return session;
  }

  /** Looks at all queues and ticks those that are due, each in a transaction of its own: one that fails harms no other. */
  async tick(): Promise<readonly QueueLook[]> {
    const { log } = this.#run.options;
    this.#isCalled = false;
    const looks = await lookAtQueues(this.#db);
    const healthy: QueueLook[] = [];
    for (const look of looks) {
      const queue = look.queue_name;
      const failure = this.#failed.get(queue);
      if (failure !== undefined && performance.now() < failure.untilMs) continue;
      try {
        await this.#restored?.mend(queue);
        if (look.is_due && await tickQueue(this.#db, queue) !== null) this.#run.counts.ticks++;
        this.#failed.delete(queue);
        healthy.push(look);
      } catch (error) {
        if (this.#db.isClosed) throw error;
        const backoff = failure?.backoff ?? new Backoff(1_000, Math.max(1_000, this.#run.options.errorPauseMaxMs));
        this.#failed.set(queue, { untilMs: performance.now() + backoff.next(), backoff });
        const isTold = error instanceof SkyqError && error.facts.behind !== undefined;
        log.error(isTold ? error.message : `Cannot tick queue "${queue}": ${messageOf(error)}`);
        if (failure === undefined && error instanceof SkyqError && error.hint !== undefined) {
          log.info(`hint: ${error.hint}`);
        }
      }
    }
    if (await this.#restored?.isOver(looks.map((look) => look.queue_name))) {
      this.#restored = null;
      this.#run.isRestored = false;
    }
    return healthy;
  }

  /** Waits for the time of the next look, or for a notification that asks for one. */
  async pause(looks: readonly QueueLook[]): Promise<void> {
    const { options, signal } = this.#run;
    if (this.isAskedToYield || this.#isCalled) return;
    const pauseMs = this.#pace.next(looks, { periodMs: options.tickPeriodMs, nowMs: performance.now() });
    const wait = new AbortController();
    this.#wake = () => wait.abort();
    await sleep(pauseMs, AbortSignal.any([signal, wait.signal]));
    this.#wake = () => {};
  }

  isOld(): boolean {
    const { connectionLifetimeMs, reloadCount } = this.#run.options;
    return performance.now() - this.#openedMs > connectionLifetimeMs || this.#reloadCount !== reloadCount;
  }

  async close(): Promise<void> {
    await this.#db.close().catch(() => {});
  }
}

/** Runs `work` on a connection of its own, first at once, then each `periodMs()`, while the tick loop holds the lock. */
async function periodically(
  run: Run,
  name: string,
  periodMs: () => number,
  work: (db: SqlConnection) => Promise<void>,
): Promise<void> {
  const { options, signal } = run;
  while (!signal.aborted) {
    if (!run.hasLock || run.isRestored) {
      await sleep(200, signal);
      continue;
    }
    let db: SqlConnection | null = null;
    // What runs here may take its time, and is done again by the next ticker: nobody who stops this one waits for it.
    const cancel = () => void db?.cancel().catch(() => {});
    try {
      db = await openSql(options.target, {
        applicationName: `skyq ticker ${name}`,
        lockTimeoutMs: options.lockTimeoutMs,
        onNotice: run.telling.notice,
      });
      if (signal.aborted) break;
      signal.addEventListener("abort", cancel, { once: true });
      await work(db);
    } catch (error) {
      if (!signal.aborted) options.log.error(`Ticker's ${name} failed: ${messageOf(error)}`);
    } finally {
      signal.removeEventListener("abort", cancel);
      await db?.close().catch(() => {});
    }
    await sleep(periodMs(), signal);
  }
}
