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

/** pgq.next_batch_info. @returns null when no batch is ready */
export async function nextBatch(db: Queryable, queue: string, consumer: string): Promise<Batch | null> {
  const row = await one<{ batch_id: bigint | null; cur_tick_id: bigint; prev_tick_id: bigint; cur_tick_time: string }>(
    db,
    "select batch_id, cur_tick_id, prev_tick_id, cur_tick_time from pgq.next_batch_info($1, $2)",
    [queue, consumer],
  );
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
