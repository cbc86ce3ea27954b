// The path of a batch. `grep -rn "Step . of 7" src wasm sql` prints the files along it.

import { getTableList } from "../../queue/londiste.ts";
import { type Batch, finishBatch } from "../../queue/pgq.ts";
import { setConsumerCompleted } from "../../queue/pgq_node.ts";
import { applyPart } from "./apply.ts";
import { applyEvent } from "./events.ts";
import { fetchEvents } from "./fetch.ts";
import { openBatch } from "./open.ts";
import { readPieces, takenTables } from "./parts.ts";
import type { BatchStats, Path } from "./path.ts";

/**
 * Moves one batch from provider to subscriber. Rows and the "applied" mark commit together on the subscriber, so a
 * crash before `finishBatch` replays nothing: the next call sees the mark.
 * @returns what the batch did, `null` when no batch is ready
 * @throws {SkyqError} `apply-conflict` with the event that cannot be applied; the subscriber is as it was
 */
export async function replayBatch(path: Path): Promise<BatchStats | null> {
  const batch = await openBatch(path); //                         1 pgq.next_batch
  if (batch === null) return null;
  const stats = batch.isApplied ? newStats() : await applyBatch(path, batch);
  await finishBatch(path.provider, batch.batchId); //             7 pgq.finish_batch
  return stats;
}

/** Steps 2 to 6: one subscriber transaction. */
export async function applyBatch(path: Path, batch: Batch): Promise<BatchStats> {
  const { subscriber } = path;
  const stats = newStats();
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
    await setConsumerCompleted(subscriber, path.queue, path.consumer, batch.tickId); // 6 pgq_node
    await subscriber.exec("commit");
    return stats;
  } catch (error) {
    if (!subscriber.isClosed) await subscriber.exec("rollback").catch(() => {});
    throw error;
  }
}

function newStats(): BatchStats {
  return { count: 0, ignored: 0, missedRows: 0, ordered: 0 };
}
