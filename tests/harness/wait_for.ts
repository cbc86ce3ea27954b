/** Waiting for what another process or connection does. */

export interface WaitOptions {
  /** Default 60 s. */
  timeoutMs?: number;
  /** Pause between two looks at first, default 20 ms; a twentieth of the time waited when that is longer. */
  pollMs?: number;
  /** What is waited for, as the end of "waiting for …". */
  what: string;
}

/**
 * Looks again and again until `look` gives something that is neither false, null nor undefined.
 * @returns what `look` gave
 * @throws {Error} naming `what`, the last value or error seen, and how often it looked; never before one full look
 */
export async function waitFor<T>(
  look: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, false | null | undefined>> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const startMs = performance.now();
  const deadline = startMs + timeoutMs;
  let last = "";
  for (let lookCount = 1;; lookCount++) {
    let cause: unknown;
    try {
      const value = await look();
      if (value !== false && value !== null && value !== undefined) {
        return value as Exclude<T, false | null | undefined>;
      }
      last = `value ${Deno.inspect(value)}`;
    } catch (error) {
      cause = error;
      last = `error ${String(error)}`;
    }
    if (performance.now() >= deadline) {
      throw new Error(
        `Gave up waiting for ${options.what} after ${timeoutMs} ms: looked ${lookCount} times, last ${last}`,
        { cause },
      );
    }
    // Most looks are sessions of a server: many tests that wait must not take the machine from what they wait for.
    const pauseMs = Math.max(options.pollMs ?? 20, (performance.now() - startMs) / 20);
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, 250)));
  }
}
