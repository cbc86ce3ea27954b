import type { QueueLook } from "../../queue/pgq.ts";

/** After the last sign of work the queues are still looked at every period for this long. */
const ALERT_MS = 5_000;
/** Pause between two looks at queues where nothing happens. */
const IDLE_PAUSE_MS = 1_000;

/**
 * How long to pause until the next look at the queues: `periodMs` while events come, then twice as long each time up to
 * a second. So with `periodMs` = 20 an event waits 20 ms for its tick while there is traffic and a second at most after
 * a silence, and an idle server is asked once a second. A period above a second is kept to.
 */
export class Pace {
  readonly #sequences = new Map<string, bigint>();
  #movedMs = -Infinity;
  #pauseMs = 0;

  /**
   * @param looks what was just seen
   * @param nowMs a clock that never goes back
   * @returns milliseconds
   */
  next(looks: readonly QueueLook[], { periodMs, nowMs }: { periodMs: number; nowMs: number }): number {
    let hasMoved = false;
    for (const { queue_name, event_seq, is_waiting } of looks) {
      const before = this.#sequences.get(queue_name);
      if (is_waiting || (before !== undefined && before !== event_seq)) hasMoved = true;
      this.#sequences.set(queue_name, event_seq);
    }
    if (hasMoved) this.#movedMs = nowMs;
    const isAlert = nowMs - this.#movedMs < ALERT_MS;
    this.#pauseMs = isAlert
      ? periodMs
      : Math.min(Math.max(IDLE_PAUSE_MS, periodMs), Math.max(periodMs, this.#pauseMs * 2));
    return this.#pauseMs;
  }
}
