import { SkyqError } from "../../base/errors.ts";
import { sleep } from "../../base/time.ts";
import type { Queryable } from "../../db/queryable.ts";
import { forceTick, queueInfo, tickQueue } from "../../queue/pgq.ts";
import { TICKER_CHANNEL, tickerLockHolder } from "../ticker/lock.ts";

const POLL_MS = 50;

/**
 * Has a tick made: by the ticker, or here with `isSelf`.
 * @returns its id
 * @throws {SkyqError} `refused` when it gets none from here, `timeout` when no ticker made one within `limitMs`, `stopped`
 */
export async function makeTick(
  db: Queryable,
  queue: string,
  { isSelf, limitMs, signal }: { isSelf: boolean; limitMs: number; signal: AbortSignal },
): Promise<bigint> {
  await requireTicked(db, queue);
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
        hint: await tickerLockHolder(db) === null
          ? "No ticker of skyq runs on this database: start one, or use --self."
          : "See the ticker's log, or use --self.",
      });
    }
    if (!await sleep(POLL_MS, signal)) signal.throwIfAborted();
  }
}

/** @throws {SkyqError} `refused` when the queue's settings keep tickers away */
async function requireTicked(db: Queryable, queue: string): Promise<void> {
  const [info] = await queueInfo(db, queue);
  if (info?.external_ticker) {
    throw new SkyqError("refused", `Cannot tick queue "${queue}": its ticks come from another node`, {
      hint: "That is its setting external_ticker, which branches of a cascade have.",
    });
  }
  if (info?.ticker_paused) {
    throw new SkyqError("refused", `Cannot tick queue "${queue}": its ticker is paused`, {
      hint: "`skyq queue config CONFIG QUEUE ticker_paused=0` lets it go on.",
    });
  }
}
