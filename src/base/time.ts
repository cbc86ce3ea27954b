/** Waits `ms` milliseconds, or until `signal` aborts. @returns false when it was aborted */
export function sleep(ms: number, signal?: AbortSignal): Promise<boolean> {
  if (signal?.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = () => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve(true);
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Growing pauses between tries: 1, 2, 4 … up to `maxMs`, with up to 20 % added so that many jobs do not knock together. */
export class Backoff {
  #nextMs: number;

  constructor(readonly firstMs: number, readonly maxMs: number) {
    this.#nextMs = firstMs;
  }

  /** @returns how long to pause before the next try, in milliseconds */
  next(): number {
    const pauseMs = this.#nextMs;
    this.#nextMs = Math.min(this.maxMs, this.#nextMs * 2);
    return Math.round(pauseMs * (1 + Math.random() * 0.2));
  }

  reset(): void {
    this.#nextMs = this.firstMs;
  }
}

/** Keeps what would be said over and over to once a period for each thing it is said of. */
export class AtMostEvery {
  readonly #saidMs = new Map<string, number>();

  /** @param nowMs a clock; replaced in tests */
  constructor(readonly periodMs: number, readonly nowMs: () => number = () => performance.now()) {}

  /** @returns whether `key` may be spoken of now; the period begins anew when it may */
  allows(key: string): boolean {
    const nowMs = this.nowMs();
    const saidMs = this.#saidMs.get(key);
    if (saidMs !== undefined && nowMs - saidMs < this.periodMs) return false;
    this.#saidMs.set(key, nowMs);
    return true;
  }
}
