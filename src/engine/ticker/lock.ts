// Exactly one ticker works on a database: two would make ticks whose order differs from their snapshots' order.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import { one, type Queryable } from "../../db/queryable.ts";

/** Name of the session lock, hashed; whoever holds it ticks. */
export const TICKER_LOCK = "skyq ticker";
/**
 * Tickers listen here. `yield`: a dedicated ticker wants the database, one that ticks beside a replay gives it up.
 * Anything else: look at the queues now.
 */
export const TICKER_CHANNEL = "skyq_ticker";

/**
 * Another ticker has the database. `fail` asks it to give way, and ends with `already-running` when it does not; `wait`
 * asks and waits on; `stand-by` gives way itself, and waits for its turn without asking.
 */
export type WhenTaken = "fail" | "wait" | "stand-by";

/** How long another ticker has to give way, or our own lost session to be noticed by the server. */
export const PATIENCE_MS = 5_000;
/** How often somebody who waits for his turn tries. */
export const STAND_BY_MS = 5_000;

/**
 * Takes the lock for the session of `db`.
 * @param onTaken called once when it becomes clear that another ticker keeps it
 * @returns false when the signal aborted while waiting
 * @throws {SkyqError} `already-running` by `whenTaken`
 */
export async function takeTickerLock(
  db: Queryable,
  { whenTaken, log, signal, onTaken }: {
    whenTaken: WhenTaken;
    log: Logger;
    signal: AbortSignal;
    onTaken?(): void;
  },
): Promise<boolean> {
  const sinceMs = performance.now();
  const patienceMs = whenTaken === "stand-by" ? 0 : PATIENCE_MS;
  let isTold = false;
  let askedMs = -Infinity;
  for (;;) {
    const { taken } = await one<{ taken: boolean }>(
      db,
      "select pg_try_advisory_lock(hashtextextended($1, 0)) as taken",
      [TICKER_LOCK],
    );
    if (taken) return true;
    if (whenTaken !== "stand-by" && performance.now() - askedMs > 1_000) {
      await db.query("select pg_notify($1, 'yield')", [TICKER_CHANNEL]);
      askedMs = performance.now();
    }
    const isPatient = performance.now() - sinceMs < patienceMs;
    if (!isPatient && !isTold) {
      const holder = await tickerLockHolder(db);
      const who = holder === null ? "" : ` (server process ${holder.pid}, application "${holder.application}")`;
      if (whenTaken === "fail") {
        throw new SkyqError("already-running", `Cannot tick: another ticker works on this database${who}`, {
          hint:
            "One ticker runs per database; stop that one first. A replay's own (ticker = auto) gives way by itself.",
        });
      }
      log.info(`Another ticker works on this database${who}, standing by`);
      onTaken?.();
      isTold = true;
    }
    if (!await sleep(isPatient ? 200 : STAND_BY_MS, signal)) return false;
  }
}

/** The session that holds the lock in this database. @returns null when nobody does */
export async function tickerLockHolder(db: Queryable): Promise<{ pid: number; application: string | null } | null> {
  const [row] = await db.query<{ pid: number; application: string | null }>(
    `select l.pid, a.application_name as application
       from pg_locks l left join pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'advisory' and l.granted and l.objsubid = 1
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
        and (l.classid::int8 << 32 | l.objid::int8) = hashtextextended($1, 0)`,
    [TICKER_LOCK],
  );
  return row ?? null;
}
