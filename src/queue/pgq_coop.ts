import { one, type Queryable } from "../db/queryable.ts";

/** A worker that shares the position of another consumer. */
export interface Subconsumer {
  /** The consumer whose position it is. */
  readonly main: string;
  /** Its own name, without the consumer's. */
  readonly name: string;
}

/** What `consumer` is a subconsumer of. @returns null for a consumer of its own */
export async function subconsumerOf(db: Queryable, queue: string, consumer: string): Promise<Subconsumer | null> {
  const [row] = await db.query<{ main: string }>(
    `select mc.co_name as main
       from pgq.queue q
       join pgq.subscription s on s.sub_queue = q.queue_id
       join pgq.consumer c on c.co_id = s.sub_consumer
       join pgq.subscription m on m.sub_queue = s.sub_queue and m.sub_id = s.sub_id and m.sub_consumer <> s.sub_consumer
       join pgq.consumer mc on mc.co_id = m.sub_consumer
      where q.queue_name = $1 and c.co_name = $2 and starts_with(c.co_name, mc.co_name || '.')
      order by length(mc.co_name) limit 1`,
    [queue, consumer],
  );
  return row === undefined ? null : { main: row.main, name: consumer.slice(row.main.length + 1) };
}

/** pgq_coop.next_batch. @returns the batch that is open or was opened, null when there is none */
export async function nextCoopBatch(db: Queryable, queue: string, { main, name }: Subconsumer): Promise<bigint | null> {
  return (await one<{ batch: bigint | null }>(db, "select pgq_coop.next_batch($1, $2, $3) as batch", [
    queue,
    main,
    name,
  ])).batch;
}

/** pgq_coop.finish_batch. @returns false for an unknown batch */
export async function finishCoopBatch(db: Queryable, batchId: bigint): Promise<boolean> {
  return (await one<{ done: number }>(db, "select pgq_coop.finish_batch($1) as done", [batchId])).done === 1;
}
