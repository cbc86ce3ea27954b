// Getting both sides to the same state for one table: the manual's way, with a lock that ends by itself.
//
//   provider  ──── SHARE lock on the table: nobody writes it ────────────────┐ released before the long work
//                 tick T that sees all that was written before               │
//   subscriber ─────────── has applied T ── snapshot of both sides ──────────┘
//
// The lock's session says nothing between getting the lock and giving it back, so the server's limit for an idle
// transaction bounds the lock exactly, whether or not there is anybody left at this end of the line.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import { WireConnection } from "../../db/wire/connection.ts";
import { forceTick, getConsumerInfo } from "../../queue/pgq.ts";
import { getConsumerState } from "../../queue/pgq_node.ts";
import { parseSnapshot, seesAllOf } from "../replay/snapshot.ts";
import { TICKER_CHANNEL } from "../ticker/lock.ts";
import type { SideTable } from "./layout.ts";
import { openReader, type Pair, type Replication, type SessionOptions, takeSnapshot } from "./connections.ts";

/** Two readers, each in a transaction with a snapshot of its own side. */
export interface Snapshots {
  readonly source: WireConnection;
  readonly target: WireConnection;
}

export interface SyncOptions extends SessionOptions {
  /** The longest time that anybody may have to wait behind our lock, and how long we try to get it. */
  readonly lockLimitMs: number;
  readonly log: Logger;
}

/** How much further than the newest tick the subscriber may be behind before it is not even tried. */
const LAG_ALLOWED_S = 10;
/** Soon at first: the table is locked. */
const POLL_MS = { first: 5, most: 50 } as const;
/** A forced tick is asked for again this often: another session's look may have used it up. */
const ASK_AGAIN_MS = 1_000;

/**
 * Checks that there is any hope to get both sides to the same state.
 * @throws {SkyqError} `not-found` (no such consumer), `refused` (it is too far behind, unless `force`)
 */
export async function checkLag(
  provider: Queryable,
  { queue, consumer }: Replication,
  { force }: { force: boolean },
): Promise<void> {
  const position = await getConsumerInfo(provider, queue, consumer);
  if (position === null) {
    throw new SkyqError("not-found", `No such consumer: "${consumer}" on queue "${queue}"`, {
      hint: "Run `skyq subscriber install`, or `skyq subscriber register`; pgq_consumer_id must be the same there.",
    });
  }
  if (force) return;
  const { lag } = await one<{ lag: number | null }>(
    provider,
    "select extract(epoch from ticker_lag)::float8 as lag from pgq.get_queue_info($1)",
    [queue],
  );
  const lagS = position.lag_seconds ?? 0;
  if (lagS <= (lag ?? 0) + LAG_ALLOWED_S) return;
  throw new SkyqError(
    "refused",
    `Consumer lagging too much, cannot proceed: "${consumer}" is ${Math.round(lagS)} s behind`,
    {
      hint:
        "Does the replay run? --force tries all the same; --online needs no lock and waits for the rows that differ.",
    },
  );
}

/** How far the subscriber is behind, in seconds: 0 when it has all that there is, however old the last tick of an idle queue. */
export async function lagSeconds(provider: Queryable, { queue, consumer }: Replication): Promise<number> {
  const rows = await provider.query<{ lag: number | null }>(
    `select case when c.last_tick = q.last_tick_id and q.ev_new <= 0 then 0
                 else extract(epoch from c.lag) end::float8 as lag
       from pgq.get_consumer_info($1, $2) c join pgq.get_queue_info($1) q on q.queue_name = c.queue_name`,
    [queue, consumer],
  );
  return rows[0]?.lag ?? 0;
}

/**
 * Opens snapshots of both sides that hold the same rows of `table`, if replication is sound. Nobody writes the table
 * meanwhile; nobody waits longer than `lockLimitMs` for that.
 * @throws {SkyqError} `lock-timeout`: no lock, no tick, or the subscriber was not there in time
 */
export async function syncTable(
  pair: Pair & { readonly replication: Replication },
  table: string,
  options: SyncOptions,
): Promise<Snapshots> {
  const { log } = options;
  // Before the lock: connecting may take a while.
  const [source, target] = await bothOpened(openReader(pair.source, options), openReader(pair.target, options));
  let lock: TableLock | null = null;
  try {
    log.info(`Locking ${table}`);
    lock = await lockTable(pair, table, options);
    log.info(`Syncing ${table}`);
    await waitUntilApplied({ provider: source, subscriber: target }, pair.replication, lock, options.signal);
    await Promise.all([takeSnapshot(source), takeSnapshot(target)]);
    await lock.release(); // also proves that it was held until now
    return { source, target };
  } catch (error) {
    for (const connection of [source, target]) connection.destroy();
    throw error;
  } finally {
    lock?.drop();
  }
}

/** Statements that take long are cancelled when the run is to stop. @throws the signal's reason then */
export async function interruptible<T>(
  { source, target }: Snapshots,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const onAbort = () => [source, target].forEach((connection) => connection.cancel().catch(() => connection.destroy()));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Snapshots of both sides as they are, without any lock. */
export async function openSnapshots(
  pair: Pair,
  options: SessionOptions & Pick<SyncOptions, "lockLimitMs">,
): Promise<Snapshots> {
  const [source, target] = await bothOpened(openReader(pair.source, options), openReader(pair.target, options));
  try {
    await Promise.all([takeSnapshot(source), takeSnapshot(target)]);
    return { source, target };
  } catch (error) {
    for (const connection of [source, target]) connection.destroy();
    throw error;
  }
}

/**
 * Locks a table against changes of its structure until the snapshot ends, and makes sure that there has been none since
 * it was taken: of a table that was rewritten or truncated meanwhile (one who waited behind our lock does that) an older
 * snapshot sees no row at all.
 * @throws {SkyqError} `refused`
 */
export async function holdTable(snapshot: WireConnection, { table, quotedTable, isPartitioned }: SideTable) {
  // Reads nothing, and locks the table with all of its partitions; the right to read one column is enough.
  await snapshot.exec(`select 1 from ${isPartitioned ? "" : "only "}${quotedTable} limit 0`);
  const { changed } = await one<{ changed: boolean | null }>(
    snapshot,
    // pg_class as the snapshot sees it, beside what is true now.
    `select bool_or(c.oid is null or c.relfilenode <> pg_catalog.pg_relation_filenode(r.oid)) as changed
       from (select $1::text::pg_catalog.regclass::oid as oid
             union select p.relid::oid from pg_catalog.pg_partition_tree($1::text::pg_catalog.regclass) p) r
       left join pg_catalog.pg_class c on c.oid = r.oid`,
    [quotedTable],
  );
  if (!changed) return;
  throw new SkyqError("refused", `Cannot compare table "${table}": it was rewritten, truncated or made anew just now`, {
    hint: "Its rows cannot be seen as they were. Try again.",
  });
}

/** Both, or none: where one fails the other is closed. */
export async function bothOpened(
  ...opening: [Promise<WireConnection>, Promise<WireConnection>]
): Promise<[WireConnection, WireConnection]> {
  const results = await Promise.allSettled(opening);
  for (const result of results) {
    if (result.status === "fulfilled") continue;
    for (const other of results) if (other.status === "fulfilled") other.value.destroy();
    throw result.reason;
  }
  return results.map((result) => (result as PromiseFulfilledResult<WireConnection>).value) as [
    WireConnection,
    WireConnection,
  ];
}

/** A SHARE lock on one table. */
class TableLock {
  readonly #connection: WireConnection;
  readonly #table: string;
  readonly #takenMs = performance.now();

  constructor(connection: WireConnection, table: string, readonly limitMs: number) {
    this.#connection = connection;
    this.#table = table;
  }

  /** How long it will still be held, at most. */
  get leftMs(): number {
    return this.#takenMs + this.limitMs - performance.now();
  }

  /** Gives it back. @throws {SkyqError} `lock-timeout` when the server had ended it before */
  async release(): Promise<void> {
    try {
      await this.#connection.exec("commit");
    } catch (cause) {
      throw this.late("the server ended the lock", cause);
    }
    await this.#connection.close();
  }

  /** What to throw when something took too long. */
  late(what: string, cause?: unknown): SkyqError {
    return new SkyqError(
      "lock-timeout",
      `Cannot sync ${this.#table}: ${what} in the ${this.limitMs / 1000} s that it may be locked`,
      {
        hint: "Do replay and ticker run, and are they up to date? The lock is given back; --online works without one.",
        cause,
      },
    );
  }

  /** Ends the session, and with it the lock. */
  drop(): void {
    this.#connection.destroy();
  }
}

/** A deadlock check, and with it the end of an autovacuum that is in the way, comes only after deadlock_timeout. */
const BEYOND_DEADLOCK_CHECK_MS = 500;

/**
 * Tries again and again with a short limit: whoever comes after a waiting lock waits behind it, so it must not wait long
 * for a transaction that takes its time; between two tries the others have theirs.
 */
async function lockTable(pair: Pair, table: string, options: SyncOptions): Promise<TableLock> {
  const { lockLimitMs: limitMs, signal, log } = options;
  const connection = await openReader(pair.source, { statementTimeoutMs: 0, signal, lockLimitMs: limitMs });
  const untilMs = performance.now() + limitMs;
  try {
    const { wait } = await one<{ wait: number }>(
      connection,
      "select s.setting::int4 as wait from pg_catalog.pg_settings s where s.name = 'deadlock_timeout'",
    );
    const tryMs = Math.min(wait + BEYOND_DEADLOCK_CHECK_MS, limitMs);
    for (let isFirst = true;; isFirst = false) {
      const leftMs = Math.ceil(Math.min(tryMs, Math.max(1, untilMs - performance.now())));
      try {
        await connection.exec(
          `begin; set local lock_timeout = ${leftMs}; set local idle_in_transaction_session_timeout = ${limitMs}; ` +
            `lock table ${quoteFullName(table)} in share mode`,
        );
        return new TableLock(connection, table, limitMs);
      } catch (error) {
        if (!(error instanceof SkyqError) || connection.isClosed) throw error;
        if (error.fault === "privilege") throw mayNotLock(table, error);
        if (error.fault !== "lock-timeout") throw error;
        await connection.exec("rollback");
        if (performance.now() >= untilMs) throw await notLocked(connection, table, limitMs, error);
        if (isFirst) log.info(`${table} is in use (${await lockersOf(connection, table)}), trying again`);
      }
      // As long as we were in their way, or what is left.
      if (!await sleep(Math.min(tryMs, Math.max(0, untilMs - performance.now() - 100)), signal)) {
        signal.throwIfAborted();
      }
    }
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

function mayNotLock(table: string, cause: SkyqError): SkyqError {
  return new SkyqError("privilege", cause.message, {
    hint:
      `To lock it in SHARE mode takes more than SELECT: GRANT UPDATE ON ${quoteFullName(table)} to the role of the ` +
      "provider's connection. --online works without a lock.",
    cause,
  });
}

async function notLocked(db: Queryable, table: string, limitMs: number, cause: unknown): Promise<SkyqError> {
  return new SkyqError(
    "lock-timeout",
    `Cannot lock ${table}: not obtained in ${limitMs / 1000} s (${await lockersOf(db, table)})`,
    { hint: "Try when those transactions are over, raise lock_timeout, or use --online, which needs no lock.", cause },
  );
}

/** Who holds locks on the table that exclude ours, for a message. */
async function lockersOf(db: Queryable, table: string): Promise<string> {
  const rows = await db.query<{ pid: number; user_name: string | null; since: string | null; state: string | null }>(
    `select distinct l.pid, a.usename::text as user_name, a.xact_start::text as since, a.state
       from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'relation' and l.granted and l.relation = $1::text::pg_catalog.regclass
        and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
        and l.mode not in ('AccessShareLock', 'RowShareLock', 'ShareLock') and l.pid <> pg_catalog.pg_backend_pid()
      order by 1 limit 3`,
    [quoteFullName(table)],
  );
  if (rows.length === 0) return "by a transaction that is over now";
  return rows.map((row) =>
    `process ${row.pid} of ${row.user_name ?? "?"}, in its transaction since ${row.since ?? "?"}`
  )
    .join("; ");
}

/** Waits for a tick that sees everything committed before the lock, then for the subscriber to have applied it. */
async function waitUntilApplied(
  dbs: { provider: Queryable; subscriber: Queryable },
  { queue, consumer }: Replication,
  lock: TableLock,
  signal: AbortSignal,
): Promise<void> {
  const locked = parseSnapshot(
    (await one<{ snapshot: string }>(
      dbs.provider,
      "select pg_catalog.txid_current_snapshot()::text as snapshot",
    )).snapshot,
  );
  const isSeenBy = (snapshot: string) => seesAllOf(parseSnapshot(snapshot), locked);
  let wanted: bigint | null = null;
  let pollMs: number = POLL_MS.first;
  for (let askMs = -Infinity;; pollMs = Math.min(POLL_MS.most, pollMs * 1.3)) {
    if (wanted === null) {
      if (performance.now() - askMs > ASK_AGAIN_MS) {
        askMs = performance.now();
        await forceTick(dbs.provider, queue);
        await dbs.provider.query("select pg_notify($1, '')", [TICKER_CHANNEL]);
      }
      const newest = await newestTick(dbs.provider, queue);
      if (newest !== null && isSeenBy(newest.snapshot)) wanted = newest.tick;
    }
    if (wanted !== null) {
      const done = (await getConsumerState(dbs.subscriber, queue, consumer))?.completed_tick ?? null;
      if (done !== null && done >= wanted) return;
    }
    // The rest is for the snapshots: a lock that the server has to end is one too long.
    if (lock.leftMs < lock.limitMs / 10) {
      throw lock.late(
        wanted === null
          ? "Ticker seems dead: no tick was made"
          : `Consumer lagging too much, tick ${wanted} was not applied`,
      );
    }
    if (!await sleep(pollMs, signal)) signal.throwIfAborted();
  }
}

async function newestTick(db: Queryable, queue: string): Promise<{ tick: bigint; snapshot: string } | null> {
  const rows = await db.query<{ tick: bigint; snapshot: string }>(
    `select t.tick_id as tick, t.tick_snapshot::text as snapshot
       from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue
      where q.queue_name = $1 order by t.tick_queue desc, t.tick_id desc limit 1`,
    [queue],
  );
  return rows[0] ?? null;
}
