// A dump that is restored into another cluster brings ticks and events with transaction ids of the old one. Where the
// new cluster's are lower, ticks would be older than those before, and what is written looks delivered already.

import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import { clusterChanged, counterWentBack, mendTransactionIds, transactionIdsBehind } from "../../queue/skyq.ts";

/** Looks after queues of a database that came from another cluster, before anything is ticked there. */
export class RestoredCheck {
  readonly #db: Queryable;
  readonly #log: Logger;
  readonly #mended = new Set<string>();

  private constructor(db: Queryable, log: Logger) {
    this.#db = db;
    this.#log = log;
  }

  /** @returns null when the database is where it was ticked last, or nobody has noted that */
  static async begin(db: Queryable, log: Logger): Promise<RestoredCheck | null> {
    if (!await clusterChanged(db)) return null;
    log.warning("This database was ticked in another cluster last: its queues' transaction ids are looked at");
    return new RestoredCheck(db, log);
  }

  /**
   * Makes a queue fit to be ticked.
   * @throws {SkyqError} when the transaction counter is behind
   */
  async mend(queue: string): Promise<void> {
    if (this.#mended.has(queue)) return;
    const behind = await transactionIdsBehind(this.#db, queue);
    if (behind > 0n) throw counterWentBack(`Cannot tick queue "${queue}"`, behind);
    const count = await mendTransactionIds(this.#db, queue);
    if (count > 0n) {
      this.#log.warning(
        `${count} events of queue "${queue}" were written while transaction ids were behind; they come with the next tick`,
      );
    }
    this.#mended.add(queue);
  }

  /** @returns whether all of these queues are fit; then the cluster is noted, and this check has done its work */
  async isOver(queues: readonly string[]): Promise<boolean> {
    if (!queues.every((queue) => this.#mended.has(queue))) return false;
    await clusterChanged(this.#db, true);
    return true;
  }
}
