// Step 5 of 7: rows into the subscriber's tables.

import { SkyqError } from "../../base/errors.ts";
import { applyCarefully, meetsQuarantine } from "./careful.ts";
import type { RowsPiece } from "./parts.ts";
import type { BatchRun, BatchStats, Path } from "./path.ts";
import { noteMissed, noteMissedTags, prepare, rowsOf, sendRun } from "./run.ts";
import type { Statement } from "./plan.ts";
import { blameOf } from "./refusal.ts";

/** Below this many events one round trip of prepared single-row statements is the quickest way, and the simplest. */
const ONE_BY_ONE_MAX = 32;
/** Rows per set-based statement: from somewhere above on the planner would rather hash the whole table. */
const ROWS_PER_STATEMENT = 5_000;

/**
 * Applies one part: deletes, updates and inserts of the net effect, set by set; few events one by one. When the
 * subscriber refuses that (rows that swap a unique value cannot be updated in one statement, or a row is bad), or events
 * have to follow others into quarantine, the part is applied event by event, by `applyCarefully`.
 * @throws {SkyqError} `apply-conflict` naming the event that cannot be applied, `structure` naming the table that no event
 * can be applied to, `StalePlans`
 */
export async function applyPart(path: Path, piece: RowsPiece, run: BatchRun): Promise<void> {
  const { subscriber } = path;
  await run.released;
  // Not waited for: it is answered before anything behind it.
  const savepoint = subscriber.exec("savepoint skyq_part");
  savepoint.catch(() => {});
  const isSmall = piece.part.stats.taken <= ONE_BY_ONE_MAX;
  const { missedRows } = run.stats;
  let isCareful = !run.quarantine.isEmpty && await meetsQuarantine(path, piece, run);
  if (!isCareful) {
    try {
      await (isSmall ? applyInOrder(path, piece, run.stats) : applySets(path, piece, run.stats));
      await savepoint;
    } catch (error) {
      if (subscriber.isClosed || blameOf(error) === "batch") throw error;
      path.log.debug(
        `Applying a part was refused (${(error as SkyqError).message}), going through its events one by one`,
      );
      await subscriber.exec("rollback to savepoint skyq_part");
      run.stats.missedRows = missedRows; // counted again
      isCareful = true;
    }
  }
  if (isCareful) {
    await applyCarefully(path, piece, run);
    if (!isSmall) run.stats.ordered++;
  }
  run.released = subscriber.exec("release savepoint skyq_part");
  run.released.catch(() => {}); // whoever waits for it hears of it
}

async function applySets(path: Path, { part, plans }: RowsPiece, stats: BatchStats): Promise<void> {
  const { subscriber } = path;
  const ids = part.tables();
  const nets = new Map(ids.map((id) => [id, part.net(id)]));
  const inSets = ids.filter((id) => !nets.get(id)!.needsOrdered);

  // Deletes go first and backwards, inserts last and forwards: rows that others refer to outlive those that refer.
  const statements: { id: number; op: "delete" | "update"; statement: Statement }[] = [];
  for (const id of inSets.toReversed()) {
    if (nets.get(id)!.deletes > 0) statements.push({ id, op: "delete", statement: plans.get(id)!.deleteMany });
  }
  for (const id of inSets) {
    const { updateMany } = plans.get(id)!;
    if (nets.get(id)!.updates > 0 && updateMany !== null) statements.push({ id, op: "update", statement: updateMany });
  }
  if (statements.length > 0) {
    await prepare(subscriber, statements.map(({ statement }) => statement));
    const sent: { id: number; op: "delete" | "update"; rows: number }[] = [];
    const tags = await sendRun(subscriber, async (send) => {
      for (const { id, op, statement } of statements) {
        for (const piece of part.emitArrays(id, op, { statement: statement.name, rowsMax: ROWS_PER_STATEMENT })) {
          sent.push({ id, op, rows: piece.rows });
          await send(piece.bytes);
        }
      }
    });
    sent.forEach(({ id, op, rows }, i) => {
      const missed = rows - rowsOf(tags[i]!);
      if (missed > 0 && !path.upsert) noteMissed(path, stats, plans.get(id)!.table, op, missed);
    });
  }
  for (const id of inSets) {
    if (nets.get(id)!.inserts === 0) continue;
    const copy = await subscriber.copyIn(plans.get(id)!.copySql);
    let rows = 0;
    try {
      for (const piece of part.emitCopyRows(id, "insert")) {
        rows += piece.rows;
        await copy.writeFrames(piece.frame);
      }
    } catch (error) {
      await copy.abort("the rows cannot be sent");
      throw error;
    }
    const missed = rows - await copy.finish();
    if (missed > 0 && !path.upsert) noteMissed(path, stats, plans.get(id)!.table, "insert", missed);
  }
  const inOrder = ids.filter((id) => nets.get(id)!.needsOrdered);
  if (inOrder.length > 0) await applyInOrder(path, { kind: "rows", part, plans }, stats, inOrder);
}

/** Event by event, in queue order, without waiting for one before the next is sent. */
async function applyInOrder(
  path: Path,
  { part, plans }: RowsPiece,
  stats: BatchStats,
  tableIds: readonly number[] | undefined = undefined,
): Promise<void> {
  const { subscriber } = path;
  const used = (tableIds ?? part.tables()).map((id) => plans.get(id)!);
  await prepare(subscriber, used.flatMap((plan) => [plan.insertOne, plan.updateOne, plan.deleteOne]));
  const tags = await sendRun(subscriber, async (send) => {
    for (const piece of part.emitOrdered(tableIds)) await send(piece.bytes);
  });
  if (!path.upsert) noteMissedTags(path, stats, tags, (i) => part.eventAt(i).extra1 ?? "");
}
