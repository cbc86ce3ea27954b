/** Two SIGINTs within this time mean: leave at once. */
const IMPATIENCE_MS = 1000;

export interface SignalHandlers {
  /** SIGINT: finish the current step, then leave. Called once. */
  stop(): void;
  /** SIGTERM, or SIGINT twice within a second: leave at once, with the signal's number for the exit status. */
  leave(signal: "SIGINT" | "SIGTERM", number: number): void;
  /** SIGHUP: read the config again. Without it SIGHUP keeps its default meaning. */
  reload?(): void;
}

/** Listens to the process's signals. @returns a function that ends the listening */
export function listenToSignals(handlers: SignalHandlers): () => void {
  let lastInterruptMs = -Infinity;
  let isStopping = false;
  const onInterrupt = () => {
    const nowMs = performance.now();
    if (nowMs - lastInterruptMs < IMPATIENCE_MS) return handlers.leave("SIGINT", 2);
    lastInterruptMs = nowMs;
    if (!isStopping) handlers.stop();
    isStopping = true;
  };
  const listeners: [Deno.Signal, () => void][] = [
    ["SIGINT", onInterrupt],
    ["SIGTERM", () => handlers.leave("SIGTERM", 15)],
  ];
  if (handlers.reload) listeners.push(["SIGHUP", () => handlers.reload!()]);
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  return () => listeners.forEach(([signal, listener]) => Deno.removeSignalListener(signal, listener));
}
