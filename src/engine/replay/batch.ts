// The path of a batch. `grep -rn "Step . of 7" src wasm sql` prints the files along it.

import { getTableList } from "../../queue/londiste.ts";
import { type Batch, finishBatch } from "../../queue/pgq.ts";
import { setConsumerCompleted } from "../../queue/pgq_node.ts";
import { applyPart } from "./apply.ts";
import { applyEvent } from "./events.ts";
import { fetchEvents } from "./fetch.ts";
import type { OpenBatch } from "./open.ts";
import { readPieces, takenTables } from "./parts.ts";
import type { BatchStats, Path } from "./path.ts";

/**
 * Moves one open batch (step 1) from provider to subscriber. Rows and the "applied" mark commit together on the
 * subscriber, so a crash before `finishBatch` replays nothing: the next one to open the batch sees the mark.
 * @returns what the batch did, `null` when the subscriber had it already
 * @throws {SkyqError} `apply-conflict` with the event that cannot be applied; the subscriber is as it was
 */
export async function replayBatch(path: Path, batch: OpenBatch): Promise<BatchStats | null> {
  const stats = batch.isApplied ? null : await applyBatch(path, batch);
  // Step 7 of 7: the provider may forget the batch.
  await finishBatch(path.provider, batch.batchId);
  return stats;
}

/** Steps 2 to 6: one subscriber transaction. */
async function applyBatch(path: Path, batch: Batch): Promise<BatchStats> {
  const { subscriber } = path;
  const stats: BatchStats = { count: 0, ignored: 0, missedRows: 0, ordered: 0 };
  await subscriber.exec("begin");
  try {
    const tables = takenTables(path, await getTableList(subscriber, path.queue));
    const chunks = fetchEvents(path, batch); //                   2 COPY (…) TO STDOUT
    // While one part is applied the next one is read and decoded.
    let applying: Promise<void> = Promise.resolve();
    try {
      for await (const piece of readPieces(path, tables, chunks, stats)) { // 3, 4 wasm: bytes → net effect
        await applying;
        if (piece.kind === "rows") {
          applying = applyPart(path, piece, stats); //            5 COPY … FROM STDIN, DML
          applying.catch(() => {}); // it is awaited above or below; no other handler must see it first
        } else if (piece.kind === "event") {
          await applyEvent(path, tables, piece.event, stats);
        }
      }
    } finally {
      await applying;
    }
    // Step 6 of 7: the mark goes with the rows.
    await setConsumerCompleted(subscriber, path.queue, path.consumer, batch.tickId);
    await subscriber.exec("commit");
    return stats;
  } catch (error) {
    if (!subscriber.isClosed) await subscriber.exec("rollback").catch(() => {});
    throw error;
  }
}
