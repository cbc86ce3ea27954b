import { SkyqError } from "../base/errors.ts";
import { one, type Queryable } from "../db/queryable.ts";

/** An open batch: the events between two ticks of one queue, for one consumer. */
export interface Batch {
  readonly batchId: bigint;
  readonly queue: string;
  readonly consumer: string;
  /** The batch is named by the tick that ends it. */
  readonly tickId: bigint;
  readonly prevTickId: bigint;
  /** Time of the tick that ends it, as the server prints it. */
  readonly tickTime: string;
}

/**
 * pgq.next_batch_info.
 * @returns null when no batch is ready
 * @throws {SkyqError} `not-registered`
 */
export async function nextBatch(db: Queryable, queue: string, consumer: string): Promise<Batch | null> {
  const row = await one<{ batch_id: bigint | null; cur_tick_id: bigint; prev_tick_id: bigint; cur_tick_time: string }>(
    db,
    "select batch_id, cur_tick_id, prev_tick_id, cur_tick_time from pgq.next_batch_info($1, $2)",
    [queue, consumer],
  ).catch((error) => {
    throw error instanceof SkyqError && error.message.includes("Not subscriber to queue")
      ? notRegistered(queue, consumer, error)
      : error;
  });
  if (row.batch_id === null) return null;
  return {
    batchId: row.batch_id,
    queue,
    consumer,
    tickId: row.cur_tick_id,
    prevTickId: row.prev_tick_id,
    tickTime: row.cur_tick_time,
  };
}

/** What to say when the queue does not know a consumer, or its node, any more. */
export function notRegistered(queue: string, consumer: string, cause?: unknown): SkyqError {
  return new SkyqError("not-registered", `Not subscriber to queue "${queue}": "${consumer}" is not registered there`, {
    hint: "A subscriber that was retired, or whose provider was restored, begins anew with `skyq subscriber register`.",
    cause,
  });
}

/** pgq.batch_event_sql: the SELECT that yields the events of an open batch in ev_id order. */
export async function batchEventSql(db: Queryable, batchId: bigint): Promise<string> {
  return (await one<{ sql: string }>(db, "select pgq.batch_event_sql($1) as sql", [batchId])).sql;
}

/** pgq.finish_batch: moves the consumer past the batch. @returns false when no such batch was open */
export async function finishBatch(db: Queryable, batchId: bigint): Promise<boolean> {
  return (await one<{ done: number }>(db, "select pgq.finish_batch($1) as done", [batchId])).done === 1;
}

/** pgq.create_queue. @returns false when the queue was there already */
export async function createQueue(db: Queryable, queue: string): Promise<boolean> {
  return (await one<{ made: number }>(db, "select pgq.create_queue($1) as made", [queue])).made === 1;
}

/** pgq.register_consumer. @returns true when newly registered */
export async function registerConsumer(db: Queryable, queue: string, consumer: string): Promise<boolean> {
  return (await one<{ made: number }>(db, "select pgq.register_consumer($1, $2) as made", [queue, consumer])).made ===
    1;
}

/** pgq.register_consumer_at: registers or moves to `tickId`, forgetting an open batch. */
export async function registerConsumerAt(
  db: Queryable,
  queue: string,
  consumer: string,
  tickId: bigint,
): Promise<void> {
  await one(db, "select pgq.register_consumer_at($1, $2, $3)", [queue, consumer, tickId]);
}

/** pgq.unregister_consumer. @returns how many subscriptions went, 0 when it was not registered */
export async function unregisterConsumer(db: Queryable, queue: string, consumer: string): Promise<number> {
  return (await one<{ count: number }>(db, "select pgq.unregister_consumer($1, $2) as count", [queue, consumer])).count;
}

export interface ConsumerInfo {
  queue_name: string;
  consumer_name: string;
  last_tick: bigint | null;
  current_batch: bigint | null;
  next_tick: bigint | null;
  pending_events: bigint | null;
  /** Seconds since the tick the consumer finished last. */
  lag_seconds: number | null;
}

/** pgq.get_consumer_info for one consumer. @returns null when it is not registered */
export async function getConsumerInfo(db: Queryable, queue: string, consumer: string): Promise<ConsumerInfo | null> {
  const rows = await db.query<ConsumerInfo>(
    `select queue_name, consumer_name, last_tick, current_batch, next_tick, pending_events,
            extract(epoch from lag)::float8 as lag_seconds
       from pgq.get_consumer_info($1, $2)`,
    [queue, consumer],
  );
  return rows[0] ?? null;
}

/** Names of the consumers of a queue. */
export async function consumerNames(db: Queryable, queue: string): Promise<string[]> {
  const rows = await db.query<{ consumer_name: string }>(
    "select consumer_name from pgq.get_consumer_info($1)",
    [queue],
  );
  return rows.map((row) => row.consumer_name);
}

/** pgq.force_tick: the ticker's next look makes a tick. @returns the newest tick, null for an unknown queue */
export async function forceTick(db: Queryable, queue: string): Promise<bigint | null> {
  return (await one<{ tick: bigint | null }>(db, "select pgq.force_tick($1) as tick", [queue])).tick;
}

/** The snapshot of a tick, `xmin:xmax:x1,x2`. @returns null when there is no such tick any more */
export async function tickSnapshot(db: Queryable, queue: string, tickId: bigint): Promise<string | null> {
  const rows = await db.query<{ snapshot: string }>(
    `select t.tick_snapshot::text as snapshot
       from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue
      where q.queue_name = $1 and t.tick_id = $2`,
    [queue, tickId],
  );
  return rows[0]?.snapshot ?? null;
}

/** Whether the queue exists. */
export async function queueExists(db: Queryable, queue: string): Promise<boolean> {
  const rows = await db.query("select 1 from pgq.queue q where q.queue_name = $1", [queue]);
  return rows.length > 0;
}

/** pgq.ticker(): ticks every queue that needs it. @returns how many got a tick */
export async function tickAll(db: Queryable): Promise<bigint> {
  return (await one<{ count: bigint }>(db, "select pgq.ticker() as count")).count;
}

export interface MaintOperation {
  func_name: string;
  func_arg: string | null;
}

/** pgq.maint_operations: what is to be done now, in order. */
export function maintOperations(db: Queryable): Promise<MaintOperation[]> {
  return db.query<MaintOperation>("select func_name, func_arg from pgq.maint_operations()");
}

/** pgq.maint_retry_events. @returns how many events were put back; call until 0 */
export async function maintRetryEvents(db: Queryable): Promise<number> {
  return (await one<{ count: number }>(db, "select pgq.maint_retry_events() as count")).count;
}

/** Settings and state of one queue; spans in seconds. */
export interface QueueInfo {
  queue_name: string;
  queue_ntables: number;
  queue_cur_table: number;
  rotation_period: number;
  /** How long ago the writers moved to another table. */
  switched_ago: number;
  external_ticker: boolean;
  ticker_paused: boolean;
  disable_insert: boolean;
  per_tx_limit: number | null;
  ticker_max_count: number;
  ticker_max_lag: number;
  ticker_idle_period: number;
  /** Since the newest tick. */
  ticker_lag: number | null;
  ev_per_sec: number | null;
  /** Events since the newest tick: a hint, rolled back ones count. */
  ev_new: bigint | null;
  last_tick_id: bigint | null;
}

/** pgq.get_queue_info with what it leaves out. @param queue null stands for all */
export function queueInfo(db: Queryable, queue: string | null): Promise<QueueInfo[]> {
  return db.query<QueueInfo>(
    `select i.queue_name, i.queue_ntables, i.queue_cur_table,
            extract(epoch from i.queue_rotation_period)::float8 as rotation_period,
            extract(epoch from now() - i.queue_switch_time)::float8 as switched_ago,
            i.queue_external_ticker as external_ticker, i.queue_ticker_paused as ticker_paused,
            q.queue_disable_insert as disable_insert, q.queue_per_tx_limit as per_tx_limit,
            i.queue_ticker_max_count as ticker_max_count,
            extract(epoch from i.queue_ticker_max_lag)::float8 as ticker_max_lag,
            extract(epoch from i.queue_ticker_idle_period)::float8 as ticker_idle_period,
            extract(epoch from i.ticker_lag)::float8 as ticker_lag, i.ev_per_sec, i.ev_new, i.last_tick_id
       from pgq.get_queue_info($1) i
       join pgq.queue q on q.queue_name = i.queue_name
      order by i.queue_name`,
    [queue],
  );
}

/** Position of one consumer; spans in seconds. */
export interface ConsumerState {
  queue_name: string;
  consumer_name: string;
  /** Since the tick it finished last; null for an idle subconsumer, like the next two. */
  lag: number | null;
  last_tick: bigint | null;
  pending_events: bigint | null;
  /** Since it last opened or finished a batch. */
  last_seen: number;
  current_batch: bigint | null;
  next_tick: bigint | null;
}

/** pgq.get_consumer_info. @param queue, consumer null stands for all */
export function consumerStates(
  db: Queryable,
  queue: string | null,
  consumer: string | null = null,
): Promise<ConsumerState[]> {
  return db.query<ConsumerState>(
    `select queue_name, consumer_name, extract(epoch from lag)::float8 as lag, last_tick, pending_events,
            extract(epoch from last_seen)::float8 as last_seen, current_batch, next_tick
       from pgq.get_consumer_info($1, $2) order by queue_name, consumer_name`,
    [queue, consumer],
  );
}

/** pgq.drop_queue. @param force ends the consumers as well, else their presence is an error */
export async function dropQueue(db: Queryable, queue: string, force: boolean): Promise<void> {
  await one(db, "select pgq.drop_queue($1, $2)", [queue, force]);
}

/** pgq.set_queue_config. @param name without `queue_`; @param value text that the column's type reads */
export async function setQueueConfig(db: Queryable, queue: string, name: string, value: string): Promise<void> {
  await one(db, "select pgq.set_queue_config($1, $2, $3)", [queue, name, value]);
}

export interface Tick {
  tick_id: bigint;
  tick_time: string;
  /** The event sequence then. */
  tick_event_seq: bigint;
  tick_snapshot: string;
}

/** The newest ticks of a queue, newest first. */
export function newestTicks(db: Queryable, queue: string, limit: number): Promise<Tick[]> {
  return db.query<Tick>(
    `select t.tick_id, t.tick_time, t.tick_event_seq, t.tick_snapshot
       from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue
      where q.queue_name = $1 order by t.tick_queue desc, t.tick_id desc limit $2`,
    [queue, limit],
  );
}

export interface Event {
  ev_id: bigint;
  ev_time: string;
  ev_txid: bigint | null;
  ev_retry: number | null;
  ev_type: string | null;
  ev_data: string | null;
  ev_extra1: string | null;
  ev_extra2: string | null;
  ev_extra3: string | null;
  ev_extra4: string | null;
}

/** pgq.get_batch_events: events of an open batch in their order. @param limit null: all */
export function batchEvents(db: Queryable, batchId: bigint, limit: number | null = null): Promise<Event[]> {
  return db.query<Event>("select * from pgq.get_batch_events($1) limit $2", [batchId, limit]);
}

/** pgq.event_retry: the event comes again after `seconds`. @returns false when it was in the retry queue already */
export async function eventRetry(db: Queryable, batchId: bigint, eventId: bigint, seconds: number): Promise<boolean> {
  const row = await one<{ done: number }>(db, "select pgq.event_retry($1, $2, $3::int4) as done", [
    batchId,
    eventId,
    seconds,
  ]);
  return row.done === 1;
}

/** pgq.batch_retry: all events of the batch. @returns how many were put into the retry queue */
export async function batchRetry(db: Queryable, batchId: bigint, seconds: number): Promise<number> {
  return (await one<{ count: number }>(db, "select pgq.batch_retry($1, $2::int4) as count", [batchId, seconds])).count;
}

/** Whoever waits for batches listens here: the payload is the queue that was ticked, empty if its name is too long. */
export const TICK_CHANNEL = "skyq_tick";

/** pgq.ticker(queue): a tick if it is time, told on `TICK_CHANNEL`. @returns its id, null when it is not time yet */
export async function tickQueue(db: Queryable, queue: string): Promise<bigint | null> {
  const { tick } = await one<{ tick: bigint | null }>(
    db,
    `select t.tick, case when t.tick is not null then pg_catalog.pg_notify('${TICK_CHANNEL}',
                         case when pg_catalog.octet_length($1) < 8000 then $1 else '' end)::text end
       from (select pgq.ticker($1) as tick) t`,
    [queue],
  );
  return tick;
}

export interface QueueLook {
  queue_name: string;
  /** Grows with every event, committed or not. */
  event_seq: bigint;
  /** Events are waiting for a tick. */
  is_waiting: boolean;
  /** pgq.ticker(queue) would make a tick now, or has to be asked. */
  is_due: boolean;
}

/**
 * What the ticker has to know of every queue that it ticks, by the rules of pgq.ticker(queue). Only reads, takes no
 * transaction id, and costs two index look-ups and a look at a sequence per queue.
 */
const LOOK_AT_QUEUES = `
  select q.queue_name, s.event_seq, coalesce(s.event_seq > t.tick_event_seq, true) as is_waiting,
         case when t.tick_id is null or t.tick_time > clock_timestamp() then true
              when s.event_seq > t.tick_event_seq
                   then s.event_seq - t.tick_event_seq >= q.queue_ticker_max_count
                        or now() - t.tick_time >= q.queue_ticker_max_lag
              when b.tick_time is null then true
              -- A queue with one event ever: its sequence says 1 before and after it, pgq.ticker() knows better.
              when s.event_seq = 1 and pg_sequence_last_value(pgq.quote_fqname(q.queue_event_seq)::regclass) = 1
                   and (q.queue_ticker_max_count <= 1 or now() - t.tick_time >= q.queue_ticker_max_lag) then true
              else now() - t.tick_time >= q.queue_ticker_max_lag / 2
                   and (now() - t.tick_time >= 2 * (t.tick_time - b.tick_time)
                        or now() - t.tick_time >= q.queue_ticker_idle_period)
         end as is_due
    from pgq.queue q
    cross join lateral (select pgq.seq_getval(q.queue_event_seq) as event_seq) s
    left join lateral (select t.tick_id, t.tick_time, t.tick_event_seq from pgq.tick t
                        where t.tick_queue = q.queue_id
                        order by t.tick_queue desc, t.tick_id desc limit 1) t on true
    left join lateral (select b.tick_time from pgq.tick b
                        where b.tick_queue = q.queue_id and b.tick_id < t.tick_id
                        order by b.tick_queue desc, b.tick_id desc limit 1) b on true
   where not q.queue_external_ticker and not q.queue_ticker_paused
   order by q.queue_name`;

/** Lets the session plan the look once: planned each time it costs ten times as much. */
export async function prepareLook(db: Queryable): Promise<void> {
  await db.query(`prepare skyq_look as ${LOOK_AT_QUEUES}`);
}

/** A look at all queues that this database's ticker ticks, by name, in a session that `prepareLook` was called for. */
export function lookAtQueues(db: Queryable): Promise<QueueLook[]> {
  return db.query<QueueLook>("execute skyq_look");
}

/** How many events wait in the retry queue of a consumer; null when this role may not look. */
export async function retryCount(db: Queryable, queue: string, consumer: string): Promise<number | null> {
  const { may } = await one<{ may: boolean }>(db, "select has_table_privilege('pgq.retry_queue', 'select') as may");
  if (!may) return null;
  const { count } = await one<{ count: number }>(
    db,
    `select count(*)::int4 as count from pgq.retry_queue r
      where (r.ev_queue, r.ev_owner) in (
        select s.sub_queue, s.sub_id from pgq.subscription s
          join pgq.queue q on q.queue_id = s.sub_queue
          join pgq.consumer c on c.co_id = s.sub_consumer
         where q.queue_name = $1 and c.co_name = $2)`,
    [queue, consumer],
  );
  return count;
}
