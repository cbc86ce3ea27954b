// Ends the pause of a replay that has nothing to do: the ticker says when there is a batch.

import { sleep } from "../../base/time.ts";
import type { Queryable } from "../../db/queryable.ts";
import type { Notification } from "../../db/wire/connection.ts";
import { TICK_CHANNEL } from "../../queue/pgq.ts";

export class TickBell {
  readonly #queue: string;
  #hasRung = false;
  #wake = () => {};

  constructor(queue: string) {
    this.#queue = queue;
  }

  /** From now on the connection's notifications, to be given to `hear`, tell of ticks. */
  async listen(provider: Queryable): Promise<void> {
    await provider.query(`listen ${TICK_CHANNEL}`);
  }

  hear({ channel, payload }: Notification): void {
    if (channel !== TICK_CHANNEL || (payload !== this.#queue && payload !== "")) return;
    this.#hasRung = true;
    this.#wake();
  }

  /** Before a look at the queue: ticks until now are found by it. */
  reset(): void {
    this.#hasRung = false;
  }

  /** Waits `ms`, or until there is a tick that came after `reset`. Other tickers than ours say nothing. */
  async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#hasRung) return;
    const rung = new AbortController();
    this.#wake = () => rung.abort();
    await sleep(ms, AbortSignal.any([signal, rung.signal]));
    this.#wake = () => {};
  }
}
