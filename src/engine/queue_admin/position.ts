// Where a consumer stands, and where else it may be put.

import { SkyqError } from "../../base/errors.ts";
import { asInput } from "../../db/errors.ts";
import type { Queryable } from "../../db/queryable.ts";
import { consumerStates } from "../../queue/pgq.ts";
import { requireConsumer } from "./names.ts";

/**
 * The tick that a position means: a tick's number, `newest`, `oldest`, or a time, which stands for the last tick before.
 * @throws {SkyqError} `not-found` when the queue has no such tick any more, or not yet
 */
export async function findTick(db: Queryable, queue: string, position: string): Promise<bigint> {
  const [condition, order, param] = /^\d+$/.test(position)
    ? ["t.tick_id = $2::int8", "desc", position]
    : position === "newest" || position === "oldest"
    ? ["$2::text is null", position === "newest" ? "desc" : "asc", null]
    : ["t.tick_time <= $2::timestamptz", "desc", checkedTime(position)];
  const ticks = db.query<{ tick_id: bigint }>(
    `select t.tick_id from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue
      where q.queue_name = $1 and ${condition} order by t.tick_queue ${order}, t.tick_id ${order} limit 1`,
    [queue, param],
  );
  const [tick] = await asInput(`Cannot read position "${position}"`, ticks);
  if (tick !== undefined) return tick.tick_id;
  const [kept] = await db.query<{ first: bigint | null; last: bigint | null; since: string | null }>(
    `select min(t.tick_id) as first, max(t.tick_id) as last, min(t.tick_time)::text as since
       from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue where q.queue_name = $1`,
    [queue],
  );
  throw new SkyqError("not-found", `Cannot find position "${position}" of queue "${queue}": no such tick`, {
    hint: kept?.first == null
      ? "The queue has no ticks: no ticker has run yet."
      : `There are ticks ${kept.first} to ${kept.last}, from ${kept.since} on.`,
  });
}

function checkedTime(text: string): string {
  if (/^\d{4}-\d\d-\d\d/.test(text)) return text;
  throw new SkyqError(
    "usage",
    `Cannot read position "${text}": it is no tick, no time, and neither newest nor oldest`,
    {
      hint: 'Write a time as "2026-01-31 12:00".',
    },
  );
}

/** The open batch of a consumer. @throws {SkyqError} `not-found` when it has none */
export async function openBatchOf(db: Queryable, queue: string, consumer: string): Promise<bigint> {
  const { current_batch } = await requireConsumer(db, queue, consumer);
  if (current_batch !== null) return current_batch;
  throw new SkyqError("not-found", `Cannot find a batch of consumer "${consumer}": it has none open`, {
    hint: "`skyq consumer batch … --open` opens the next one.",
  });
}

/** The position of another consumer: where its open batch ends, else where it stands. */
export async function positionOf(db: Queryable, queue: string, consumer: string): Promise<bigint> {
  const state = await requireConsumer(db, queue, consumer);
  const tick = state.next_tick ?? state.last_tick;
  if (tick !== null) return tick;
  throw new SkyqError("refused", `Cannot copy the position of "${consumer}": it is a subconsumer without a batch`);
}

/** Whether the consumer is registered. */
export async function isRegistered(db: Queryable, queue: string, consumer: string): Promise<boolean> {
  return (await consumerStates(db, queue, consumer)).length > 0;
}
