import { SkyqError } from "../base/errors.ts";
import { one, type Queryable } from "../db/queryable.ts";
import type { Event } from "./pgq.ts";

/**
 * Whether the schema's limits and dead letters are there and open to this role: a database of the original may have
 * schema pgq only.
 */
export async function hasSkyq(db: Queryable): Promise<boolean> {
  return (await one<{ there: boolean }>(
    db,
    `select coalesce(has_function_privilege(to_regprocedure('skyq.rotation_holders(text)'), 'execute'), false)
            and has_table_privilege(to_regclass('skyq.queue_policy'), 'select') as there`,
  )).there;
}

/** Limits of one queue, and what they led to. */
export interface QueuePolicy {
  queue_name: string;
  /** Bytes. */
  max_size: bigint | null;
  /** Seconds. */
  max_lag: number | null;
  on_full: "warn" | "pause" | "drop-consumer";
  full_since: string | null;
  paused_at: string | null;
  note: string | null;
}

/** @param queue null stands for all */
export function queuePolicies(db: Queryable, queue: string | null): Promise<QueuePolicy[]> {
  return db.query<QueuePolicy>(
    `select p.queue_name, p.max_size, extract(epoch from p.max_lag)::float8 as max_lag, p.on_full,
            p.full_since, p.paused_at, p.note
       from skyq.queue_policy p where $1::text is null or p.queue_name = $1 order by p.queue_name`,
    [queue],
  );
}

/** Whether maintenance should come soon: a queue is over its size, and refuses events or waits for nobody to be rotated. */
export async function isMaintenanceUrgent(db: Queryable): Promise<boolean> {
  if (!await hasSkyq(db)) return false;
  return (await one<{ urgent: boolean }>(
    db,
    `select exists (select 1 from skyq.queue_policy p
                     where p.paused_at is not null
                        or p.full_since is not null
                           and not exists (select 1 from skyq.rotation_holders(p.queue_name))) as urgent`,
  )).urgent;
}

/** skyq.set_queue_policy. @param value null takes the limit away */
export async function setQueuePolicy(db: Queryable, queue: string, name: string, value: string | null): Promise<void> {
  await one(db, "select skyq.set_queue_policy($1, $2, $3)", [queue, name, value]);
}

/** Forgets the limits of a queue that was dropped. */
export async function dropQueuePolicy(db: Queryable, queue: string): Promise<void> {
  await db.query("delete from skyq.queue_policy p where p.queue_name = $1", [queue]);
}

/** skyq.queue_size. @returns bytes, null for an unknown queue */
export async function queueSize(db: Queryable, queue: string): Promise<bigint | null> {
  return (await one<{ size: bigint | null }>(db, "select skyq.queue_size($1) as size", [queue])).size;
}

export interface RotationHolder {
  consumer_name: string;
  last_tick: bigint;
  /** When the rotation became due. */
  held_since: string;
}

/** skyq.rotation_holders: who keeps the next event table from being emptied, the one furthest behind first. */
export function rotationHolders(db: Queryable, queue: string): Promise<RotationHolder[]> {
  return db.query<RotationHolder>(
    `select h.consumer_name, h.last_tick, date_trunc('second', h.held_since)::text as held_since
       from skyq.rotation_holders($1) h`,
    [queue],
  );
}

/** A dead letter. */
export interface FailedEvent extends Event {
  queue_name: string;
  consumer_name: string;
  reason: string | null;
  failed_at: string;
}

/** Dead letters by queue, consumer and id; null stands for all. */
export function failedEvents(
  db: Queryable,
  { queue, consumer = null, eventId = null, limit = null }: {
    queue: string | null;
    consumer?: string | null;
    eventId?: bigint | null;
    limit?: number | null;
  },
): Promise<FailedEvent[]> {
  return db.query<FailedEvent>(
    `select f.* from skyq.failed_event f
      where ($1::text is null or f.queue_name = $1) and ($2::text is null or f.consumer_name = $2)
        and ($3::int8 is null or f.ev_id = $3)
      order by f.queue_name, f.consumer_name, f.ev_id limit $4`,
    [queue, consumer, eventId, limit],
  );
}

/** How many dead letters each queue has; those without any are absent. @param consumer null stands for all */
export async function failedEventCounts(db: Queryable, consumer: string | null = null): Promise<Map<string, number>> {
  const rows = await db.query<{ queue_name: string; count: number }>(
    "select f.queue_name, count(*)::int4 as count from skyq.failed_event f where $1::text is null or f.consumer_name = $1 group by f.queue_name",
    [consumer],
  );
  return new Map(rows.map((row) => [row.queue_name, row.count]));
}

/** skyq.event_failed: makes an event of an open batch a dead letter. @returns false when it was one already */
export async function eventFailed(
  db: Queryable,
  batchId: bigint,
  eventId: bigint,
  reason: string | null,
): Promise<boolean> {
  return (await one<{ done: number }>(db, "select skyq.event_failed($1, $2, $3) as done", [batchId, eventId, reason]))
    .done === 1;
}

/** skyq.failed_event_retry: the consumer gets it again. @returns false when there is no such dead letter */
export async function failedEventRetry(
  db: Queryable,
  queue: string,
  consumer: string,
  eventId: bigint,
): Promise<boolean> {
  return (await one<{ done: number }>(db, "select skyq.failed_event_retry($1, $2, $3) as done", [
    queue,
    consumer,
    eventId,
  ])).done === 1;
}

/** skyq.failed_event_drop. @returns false when there is no such dead letter */
export async function failedEventDrop(
  db: Queryable,
  queue: string,
  consumer: string,
  eventId: bigint,
): Promise<boolean> {
  return (await one<{ done: number }>(db, "select skyq.failed_event_drop($1, $2, $3) as done", [
    queue,
    consumer,
    eventId,
  ])).done === 1;
}

/** What became of the refused events of one table. */
export interface Refusals {
  /** Why the table is set aside, null when it is not. */
  readonly setAside: string | null;
  /** Events in quarantine. */
  readonly held: number;
}

/** Tables of a subscriber that are set aside or have events in quarantine; none where an older version left no such tables. */
export async function tableRefusals(db: Queryable, queue: string): Promise<Map<string, Refusals>> {
  if (!await hasQuarantine(db)) return new Map();
  const rows = await db.query<{ table_name: string; error: string | null; held: number }>(
    `select table_name, s.error, coalesce(q.held, 0) as held
       from (select s.table_name, s.error from skyq.set_aside s where s.queue_name = $1) s
       full join (select q.table_name, count(*)::int4 as held from skyq.quarantine q
                   where q.queue_name = $1 group by q.table_name) q using (table_name)`,
    [queue],
  );
  return new Map(rows.map((row) => [row.table_name, { setAside: row.error, held: row.held }]));
}

/** Whether the schema has the tables of copies in chunks: an older version left none. */
export async function hasChunks(db: Queryable): Promise<boolean> {
  return (await db.query("select 1 where pg_catalog.to_regclass('skyq.pending_index') is not null")).length > 0;
}

/** Whether the schema has the tables of refused events: an older version left none. */
export async function hasQuarantine(db: Queryable): Promise<boolean> {
  return (await db.query("select 1 where pg_catalog.to_regclass('skyq.quarantine') is not null")).length > 0;
}

/** Lets a table that is set aside be copied anew. @returns false when it is not set aside */
export async function endSetAside(db: Queryable, queue: string, table: string): Promise<boolean> {
  if (!await hasQuarantine(db)) return false;
  const rows = await db.query(
    "delete from skyq.set_aside s where s.queue_name = $1 and s.table_name = $2 returning 1",
    [queue, table],
  );
  return rows.length > 0;
}

/** Forgets a table's refused events. @returns how many there were */
export async function dropRefusals(db: Queryable, queue: string, table: string): Promise<number> {
  if (!await hasQuarantine(db)) return 0;
  await endSetAside(db, queue, table);
  const rows = await db.query(
    "delete from skyq.quarantine q where q.queue_name = $1 and q.table_name = $2 returning 1",
    [queue, table],
  );
  return rows.length;
}

/** An event in quarantine. */
export interface QuarantinedEvent {
  ev_id: bigint;
  table_name: string;
  /** Urlencoded; null where the event does not tell. */
  key: string | null;
  tick_id: bigint;
  ev_txid: bigint;
  ev_type: string;
  ev_data: string | null;
  /** Null: not refused itself, it follows an earlier event of its key. */
  sqlstate: string | null;
  error: string;
  quarantined_at: string;
  retried_at: string | null;
}

/** A queue's events in quarantine, in queue order. */
export function quarantinedEvents(db: Queryable, queue: string): Promise<QuarantinedEvent[]> {
  return db.query<QuarantinedEvent>(
    `select q.ev_id, q.table_name, q.key, q.tick_id, q.ev_txid, q.ev_type, q.ev_data, q.sqlstate, q.error,
            date_trunc('second', q.quarantined_at)::text as quarantined_at,
            date_trunc('second', q.retried_at)::text as retried_at
       from skyq.quarantine q where q.queue_name = $1 order by q.ev_id`,
    [queue],
  );
}

/**
 * skyq.cluster_changed: whether the database was ticked in another cluster last. @param note this one is right now
 * @returns false where schema skyq is missing, or not open to this role
 */
export async function clusterChanged(db: Queryable, note = false): Promise<boolean> {
  const { may } = await one<{ may: boolean }>(
    db,
    "select coalesce(has_function_privilege(to_regprocedure('skyq.cluster_changed(boolean)'), 'execute'), false) as may",
  );
  return may && (await one<{ changed: boolean }>(db, "select skyq.cluster_changed($1) as changed", [note])).changed;
}

/** skyq.transaction_ids_behind: 0 when all is well, also where schema skyq is missing or older. */
export async function transactionIdsBehind(db: Queryable, queue: string): Promise<bigint> {
  const { may } = await one<{ may: boolean }>(
    db,
    `select coalesce(has_function_privilege(to_regprocedure('skyq.transaction_ids_behind(text)'), 'execute'), false)
            as may`,
  );
  if (!may) return 0n;
  return (await one<{ behind: bigint | null }>(db, "select skyq.transaction_ids_behind($1) as behind", [queue]))
    .behind ??
    0n;
}

/** skyq.mend_transaction_ids. @returns how many events */
export async function mendTransactionIds(db: Queryable, queue: string): Promise<bigint> {
  return (await one<{ count: bigint }>(db, "select skyq.mend_transaction_ids($1) as count", [queue])).count;
}

/** What to know and to do about a counter that went back. */
export function counterWentBack(act: string, behind: bigint): SkyqError {
  return new SkyqError(
    "refused",
    `${act}: the server's transaction ids are ${behind} behind those of the queue's newest tick`,
    {
      hint: "The database was restored into a cluster whose transaction counter is lower. Nothing is delivered, and " +
        "nothing lost, until the counter has passed them: stop the server and raise it with `pg_resetwal -e EPOCH` " +
        "(one more than pg_controldata shows), or wait. What is written meanwhile is delivered then.",
      facts: { behind },
    },
  );
}
