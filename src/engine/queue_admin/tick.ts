import { SkyqError } from "../../base/errors.ts";
import { sleep } from "../../base/time.ts";
import type { Queryable } from "../../db/queryable.ts";
import { forceTick, tickQueue } from "../../queue/pgq.ts";
import { TICKER_CHANNEL } from "../ticker/lock.ts";

const POLL_MS = 50;

/**
 * Has a tick made: by the ticker, or here with `isSelf`.
 * @returns its id
 * @throws {SkyqError} `timeout` when no ticker made one within `limitMs`, `stopped`
 */
export async function makeTick(
  db: Queryable,
  queue: string,
  { isSelf, limitMs, signal }: { isSelf: boolean; limitMs: number; signal: AbortSignal },
): Promise<bigint> {
  const before = await forceTick(db, queue);
  if (isSelf) {
    const tick = await tickQueue(db, queue);
    // Nothing was made: somebody else has been faster.
    if (tick !== null) return tick;
  }
  await db.query("select pg_notify($1, '')", [TICKER_CHANNEL]);
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const [row] = await db.query<{ tick_id: bigint }>(
      `select t.tick_id from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue
        where q.queue_name = $1 order by t.tick_queue desc, t.tick_id desc limit 1`,
      [queue],
    );
    if (row !== undefined && row.tick_id > (before ?? 0n)) return row.tick_id;
    if (performance.now() > deadlineMs) {
      throw new SkyqError("timeout", `Cannot tick queue "${queue}": no ticker made a tick in ${limitMs / 1000} s`, {
        hint: "Start a ticker, or use --self. A queue that is paused or ticked by another node gets none.",
      });
    }
    if (!await sleep(POLL_MS, signal)) signal.throwIfAborted();
  }
}
