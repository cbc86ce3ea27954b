/** An application that writes without a pause and survives its server's death, as applications have to. */
import type { LentDatabase } from "../harness/pair.ts";
import { ServerError, type SimpleSession } from "../harness/simple_query.ts";

export class Writer implements AsyncDisposable {
  /** Transactions that were certainly committed. */
  committedCount = 0;
  readonly #done: Promise<void>;
  #isStopping = false;

  /** @param statements what transaction number `n` does, from 1 */
  constructor(database: LentDatabase, statements: (n: number) => string) {
    this.#done = (async () => {
      let session: SimpleSession | null = null;
      try {
        for (let n = 1; !this.#isStopping; n++) {
          try {
            session ??= await database.cluster.session(database.name);
            await session.query(`begin; ${statements(n)}; commit`);
            this.committedCount += 1;
          } catch (error) {
            // Whether it was committed nobody knows: the servers' contents are what counts.
            if (!isServerGone(error)) throw error;
            await session?.[Symbol.asyncDispose]();
            session = null;
          }
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      } finally {
        await session?.[Symbol.asyncDispose]();
      }
    })();
    this.#done.catch(() => {});
  }

  /** @throws what the server refused */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A broken or refused connection, or a server that starts up or shuts down (class 57P). */
function isServerGone(error: unknown): boolean {
  return !(error instanceof ServerError) || /^57P/.test(error.sqlstate);
}
