import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import { one, type Queryable } from "../../db/queryable.ts";

/** How long a connection of ours that died may still hold the lock, before another instance is suspected. */
export const PATIENCE_MS = 5_000;

/** For commands that need the job's replay to stand still. */
export const STOP_REPLAY_HINT = "Its replay runs: stop that first, with `skyq replay CONFIG -s`.";

/**
 * Takes the session lock that makes one replay per job: whoever holds it may move the job's position.
 * @throws {SkyqError} `already-running` when another session keeps it, with that session's pid and start
 */
export async function takeJobLock(db: Queryable, job: {
  queue: string;
  worker: string;
  /** What to do when another session keeps it; for a replay that starts when not given. */
  hint?: string;
  log: Logger;
  signal: AbortSignal;
}): Promise<void> {
  await takeSessionLock(db, {
    key: lockKey(job),
    name: `job "${job.worker}"`,
    hint: job.hint ?? "One replay runs per job. Stop the other one, or give this one a job_name of its own.",
    patienceMs: PATIENCE_MS,
    log: job.log,
    signal: job.signal,
  });
}

/** Whether a replay of this job runs, on whatever machine. */
export async function isReplayRunning(db: Queryable, job: { queue: string; worker: string }): Promise<boolean> {
  return (await holdersOf(db, lockKey(job))).length > 0;
}

interface Holder {
  pid: number;
  client: string | null;
  since: string;
}

function holdersOf(db: Queryable, key: string): Promise<Holder[]> {
  return db.query<Holder>(
    `select a.pid, a.client_addr::text as client, a.backend_start::text as since
       from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
        and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended($1, 0)`,
    [key],
  );
}

/**
 * Takes an advisory lock that ends with the connection, however that ends.
 * @param lock `patienceMs` null: waits until the signal aborts
 * @throws {SkyqError} `already-running` when another session keeps it, with that session's pid and start
 */
export async function takeSessionLock(db: Queryable, lock: {
  key: string;
  /** What is locked, as it stands in messages. */
  name: string;
  hint: string;
  patienceMs: number | null;
  log: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { key, name, patienceMs } = lock;
  const untilMs = patienceMs === null ? Infinity : performance.now() + patienceMs;
  for (let tries = 0;; tries++) {
    const { taken } = await one<{ taken: boolean }>(
      db,
      "select pg_try_advisory_lock(hashtextextended($1, 0)) as taken",
      [key],
    );
    if (taken) return;
    if (tries === 0) lock.log.info(`Waiting for the lock of ${name}`);
    if (performance.now() > untilMs || !await sleep(200, lock.signal)) break;
  }
  const holder = (await holdersOf(db, key))[0];
  throw new SkyqError(
    "already-running",
    `Cannot start ${name}: another instance holds it${
      holder === undefined
        ? ""
        : ` (server process ${holder.pid}, client ${holder.client ?? "local"}, since ${holder.since})`
    }`,
    { hint: lock.hint },
  );
}

/** Gives the lock up before the connection ends. */
export async function releaseJobLock(db: Queryable, job: { queue: string; worker: string }): Promise<void> {
  await db.query("select pg_advisory_unlock(hashtextextended($1, 0))", [lockKey(job)]);
}

function lockKey({ queue, worker }: { queue: string; worker: string }): string {
  return `skyq replay ${queue} ${worker}`;
}
