// A look into a queue, without being its consumer.

import { SkyqError } from "../../base/errors.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { Event } from "../../queue/pgq.ts";
import { requireQueue } from "./names.ts";

export interface EventFilter {
  /** Only the events of the batch that ends with this tick. */
  readonly tick?: bigint | null;
  /** LIKE pattern of ev_type. */
  readonly type?: string | null;
  /** ev_extra1, which holds the table's name in a replication queue. */
  readonly table?: string | null;
  readonly limit: number;
}

/**
 * The newest events of a queue, newest transaction first; those of one tick in their order.
 * @throws {SkyqError} `not-found` (queue, tick), `privilege`
 */
export async function peekEvents(db: Queryable, queue: string, filter: EventFilter): Promise<Event[]> {
  await requireQueue(db, queue);
  const { prefix } = await one<{ prefix: string }>(
    db,
    "select q.queue_data_pfx as prefix from pgq.queue q where q.queue_name = $1",
    [queue],
  );
  const [range, order] = filter.tick == null ? ["", "e.ev_txid desc, e.ev_id desc"] : [
    `and ${await rangeOfTick(db, queue, filter.tick)}`,
    "e.ev_id",
  ];
  // The parent's name reads all event tables, each by its index on ev_txid.
  return await db.query<Event>(
    `select e.ev_id, e.ev_time, e.ev_txid, e.ev_retry, e.ev_type, e.ev_data,
            e.ev_extra1, e.ev_extra2, e.ev_extra3, e.ev_extra4
       from ${quoteFullName(prefix)} e
      where ($1::text is null or e.ev_type like $1) and ($2::text is null or e.ev_extra1 = $2) ${range}
      order by ${order} limit $3`,
    [filter.type ?? null, filter.table ?? null, filter.limit],
  );
}

/** The batch rule between a tick and the one before it, as a condition on `e`. */
async function rangeOfTick(db: Queryable, queue: string, tick: bigint): Promise<string> {
  const ticks = await db.query<{ tick_id: bigint; snapshot: string; xmin: bigint; xmax: bigint }>(
    `select t.tick_id, t.tick_snapshot as snapshot, txid_snapshot_xmin(t.tick_snapshot) as xmin,
            txid_snapshot_xmax(t.tick_snapshot) as xmax
       from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue
      where q.queue_name = $1 and t.tick_id <= $2 order by t.tick_queue desc, t.tick_id desc limit 2`,
    [queue, tick],
  );
  const [end, start] = ticks;
  if (end?.tick_id !== tick) {
    throw new SkyqError(
      "not-found",
      `Cannot find tick ${tick} of queue "${queue}": it is gone, or did not happen yet`,
      {
        hint: "`skyq queue show` prints the newest ticks.",
      },
    );
  }
  const parts = [`e.ev_txid < ${end.xmax}`, `txid_visible_in_snapshot(e.ev_txid, '${end.snapshot}')`];
  if (start !== undefined) {
    parts.push(`e.ev_txid >= ${start.xmin}`, `not txid_visible_in_snapshot(e.ev_txid, '${start.snapshot}')`);
  }
  return parts.join(" and ");
}
