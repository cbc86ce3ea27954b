import { messageWithDetail, SkyqError } from "../../base/errors.ts";
import { Backoff, sleep } from "../../base/time.ts";
import { runTableCopy, type TableCopyOptions } from "./table_copy.ts";

interface Running {
  readonly abort: AbortController;
  readonly done: Promise<void>;
  /** Message of the last failed try, null while it goes well. */
  error: string | null;
}

/** Read again whenever a copy starts. */
export type CopyManagerOptions =
  & Omit<TableCopyOptions, "table" | "signal" | "connections" | "chunkBytes" | "patienceMs">
  & { readonly copyConnections: number; readonly copyChunkBytes: number };

/**
 * Runs table copies as tasks beside the replay. A copy that fails is tried again, with growing pauses, until its table
 * is handed over; no copy stops another, or the replay.
 */
export class CopyManager {
  readonly #options: CopyManagerOptions;
  readonly #running = new Map<string, Running>();

  readonly #noteError: (table: string, error: string) => Promise<void>;

  /** @param noteError stores why a table cannot be copied, where `subscriber tables` shows it */
  constructor(options: CopyManagerOptions, noteError: (table: string, error: string) => Promise<void>) {
    this.#options = options;
    this.#noteError = noteError;
  }

  /** Makes sure that each of these tables has a task. */
  ensure(tables: readonly string[]): void {
    for (const table of tables) {
      if (!this.#running.has(table)) this.#start(table);
    }
  }

  /** Why the table's copy failed last, null when it goes well or none runs. */
  errorOf(table: string): string | null {
    return this.#running.get(table)?.error ?? null;
  }

  /** Tables whose copy failed the last time it was tried. */
  get failing(): ReadonlySet<string> {
    return new Set([...this.#running].filter(([, running]) => running.error !== null).map(([table]) => table));
  }

  /** Ends one table's task and waits for its end. */
  async stop(table: string): Promise<void> {
    const running = this.#running.get(table);
    running?.abort.abort();
    await running?.done;
  }

  /** Ends all tasks: their open transactions are rolled back, the next start goes on from the stored states. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((table) => this.stop(table)));
  }

  #start(table: string): void {
    const abort = new AbortController();
    const running: Running = { abort, error: null, done: Promise.resolve() };
    this.#running.set(table, running);
    (running as { done: Promise<void> }).done = this.#run(table, running).finally(() => this.#running.delete(table));
  }

  async #run(table: string, running: Running): Promise<void> {
    const { log } = this.#options;
    const { signal } = running.abort;
    const backoff = new Backoff(1_000, 60_000);
    while (!signal.aborted) {
      const startedMs = performance.now();
      try {
        const { queue, worker, provider, subscriber, lockTimeoutMs, copyConnections, copyChunkBytes } = this.#options;
        await runTableCopy({
          queue,
          worker,
          table,
          provider,
          subscriber,
          lockTimeoutMs,
          connections: copyConnections,
          chunkBytes: copyChunkBytes,
          policy: this.#options.policy,
          patienceMs: null,
          log,
          signal,
        });
        return;
      } catch (error) {
        if (signal.aborted) return;
        running.error = messageWithDetail(error);
        if (performance.now() - startedMs > 60_000) backoff.reset();
        const pauseMs = backoff.next();
        log.error(`Copy of ${table} failed: ${running.error}; next try in ${Math.ceil(pauseMs / 1000)} s`);
        if (!(error instanceof SkyqError)) {
          log.error(`This is a bug in skyq: ${error instanceof Error ? error.stack : error}`);
        } else if (error.hint !== undefined) log.info(`hint: ${error.hint}`);
        await this.#noteError(table, running.error).catch(() => {});
        await sleep(pauseMs, signal);
      }
    }
  }
}
