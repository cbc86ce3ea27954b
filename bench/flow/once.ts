/**
 * Registers a bench that measures and prints by itself. `deno bench` calls what it is given several times, however few
 * it is asked for; the first call does all there is to do, so its own clock says nothing.
 */
export function benchOnce(name: string, work: () => Promise<void>): void {
  let done: Promise<void> | null = null;
  // Deno would not wait for a function that is not async by itself.
  Deno.bench({ name, n: 1, warmup: 0 }, async () => await (done ??= work()));
}
