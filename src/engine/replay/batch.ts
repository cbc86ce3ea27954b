// The path of a batch. `grep -rn "Step . of 7" src wasm sql` prints the files along it.

import { getTableList } from "../../queue/londiste.ts";
import { type Batch, finishBatch } from "../../queue/pgq.ts";
import { setConsumerCompleted } from "../../queue/pgq_node.ts";
import { SkyqError } from "../../base/errors.ts";
import { applyPart } from "./apply.ts";
import { applyEvent } from "./events.ts";
import { fetchEvents } from "./fetch.ts";
import type { OpenBatch } from "./open.ts";
import { readPieces, takenTables } from "./parts.ts";
import type { BatchRun, BatchStats, Path } from "./path.ts";
import { StalePlans } from "./plan.ts";
import { Quarantine } from "./quarantine.ts";
import { reasonOf } from "./refusal.ts";

/** Tables may be altered while their batch is applied; not as often as this. */
const STALE_MAX = 3;

/**
 * Moves one open batch (step 1) from provider to subscriber. Rows and the "applied" mark commit together on the
 * subscriber, so a crash before `finishBatch` replays nothing: the next one to open the batch sees the mark.
 * @param takeAside is told of an error that may be one table's alone, after everything was taken back. True: that table is
 * out of the way, and the batch is done again without it. It must not say so for ever.
 * @returns what the batch did, `null` when the subscriber had it already
 * @throws {SkyqError} `apply-conflict` with the event that cannot be applied, `structure` with the table that does not fit;
 * the subscriber is as it was
 */
export async function replayBatch(
  path: Path,
  batch: OpenBatch,
  takeAside: (error: unknown) => Promise<boolean> = () => Promise.resolve(false),
): Promise<BatchStats | null> {
  let stats: BatchStats | null = null;
  for (let stale = 0; !batch.isApplied && stats === null;) {
    try {
      stats = await applyBatch(path, batch);
    } catch (error) {
      if (error instanceof StalePlans && stale++ < STALE_MAX) path.plans.clear();
      else if (!await takeAside(error)) throw error;
    }
  }
  // Step 7 of 7: the provider may forget the batch.
  await finishBatch(path.provider, batch.batchId);
  return stats;
}

/** Steps 2 to 6: one subscriber transaction. */
async function applyBatch(path: Path, batch: Batch): Promise<BatchStats> {
  const { subscriber, plans } = path;
  const stats: BatchStats = { count: 0, ignored: 0, missedRows: 0, ordered: 0, quarantined: 0 };
  await subscriber.exec("begin");
  plans.begin();
  try {
    const [quarantine, rows] = await Promise.all([
      Quarantine.load(subscriber, path.queue),
      getTableList(subscriber, path.queue),
    ]);
    const run: BatchRun = { tickId: batch.tickId, stats, quarantine, notes: [], released: Promise.resolve() };
    const tables = takenTables(path, rows);
    const chunks = fetchEvents(path, batch); //                   2 COPY (…) TO STDOUT
    // While one part is applied the next one is read and decoded.
    let applying: Promise<void> = Promise.resolve();
    try {
      for await (const piece of readPieces(path, tables, chunks, stats)) { // 3, 4 wasm: bytes → net effect
        await applying;
        if (piece.kind === "rows") {
          applying = applyPart(path, piece, run); //              5 COPY … FROM STDIN, DML
          applying.catch(() => {}); // it is awaited above or below; no other handler must see it first
        } else if (piece.kind === "event") {
          await applyEvent(path, tables, piece.event, run);
        }
      }
    } finally {
      await applying;
    }
    await run.released;
    // Step 6 of 7: the mark goes with the rows.
    await Promise.all([
      setConsumerCompleted(subscriber, path.queue, path.consumer, batch.tickId),
      plans.verify(),
    ]);
    await commit(path, batch);
    for (const note of run.notes) path.log.warning(note);
    if (stats.quarantined > run.notes.length) {
      path.log.warning(`${stats.quarantined - run.notes.length} more event(s) of the batch went to quarantine`);
    }
    return stats;
  } catch (error) {
    if (!subscriber.isClosed) await subscriber.exec("rollback").catch(() => {});
    throw error;
  }
}

/** @throws {SkyqError} what the server checks only now, deferred constraints: no single event can be named for it */
async function commit({ subscriber, consumer }: Path, { tickId }: Batch): Promise<void> {
  let tags: string[];
  try {
    tags = await subscriber.exec("commit");
  } catch (error) {
    if (!(error instanceof SkyqError) || !error.sqlstate?.startsWith("23")) throw error;
    const { hint, facts, sqlstate } = error;
    throw new SkyqError(
      "sql",
      `Cannot commit the batch of "${consumer}" that ends with tick ${tickId}: a constraint that is checked at the end ` +
        `of a transaction refuses it as a whole: ${reasonOf(error)}`,
      { hint: hint ?? "Mend the rows on the subscriber, or drop the constraint there.", facts, sqlstate, cause: error },
    );
  }
  // A transaction that failed without our noticing would be rolled back by that statement, without an error.
  if (tags[0] !== "COMMIT") {
    throw new SkyqError("sql", `Cannot commit the batch that ends with tick ${tickId}: rolled back`);
  }
}
