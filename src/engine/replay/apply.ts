// Step 5 of 7: rows into the subscriber's tables.

import { messageWithDetail, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { AtMostEvery } from "../../base/time.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import type { RowsPiece } from "./parts.ts";
import type { BatchStats, Path } from "./path.ts";
import type { Statement } from "./plan.ts";

/** Below this many events one round trip of prepared single-row statements is the quickest way, and the simplest. */
const ONE_BY_ONE_MAX = 32;
/** Rows per set-based statement: from somewhere above on the planner would rather hash the whole table. */
const ROWS_PER_STATEMENT = 5_000;
/** A table that has drifted is complained of this often; how many rows were missed stands in every batch's line. */
const DRIFT_WARNING_PERIOD_MS = 60_000;

/**
 * Applies one part: deletes, updates and inserts of the net effect, set by set. When the subscriber refuses that (rows
 * that swap a unique value cannot be updated in one statement), the part is applied event by event instead.
 * @throws {SkyqError} `apply-conflict` naming the event that cannot be applied
 */
export async function applyPart(path: Path, piece: RowsPiece, stats: BatchStats): Promise<void> {
  if (piece.part.stats.taken <= ONE_BY_ONE_MAX) return await applyInOrder(path, piece, stats);
  const { subscriber } = path;
  await subscriber.exec("savepoint skyq_part");
  try {
    await applySets(path, piece, stats);
  } catch (error) {
    if (subscriber.isClosed || !isRefusal(error)) throw error;
    path.log.debug(`Set-based apply was refused (${error.message}), going through the events one by one`);
    await subscriber.exec("rollback to savepoint skyq_part");
    await applyInOrder(path, piece, stats);
    stats.ordered++;
  }
  await subscriber.exec("release savepoint skyq_part");
}

/**
 * Whether the server refused rows or a statement, rather than failed: data (22), constraint (23), cardinality (21),
 * a name or type (42), what a trigger raised (P0), a view's or rule's objection (44, 0A).
 */
function isRefusal(error: unknown): error is SkyqError {
  return error instanceof SkyqError && /^(21|22|23|42|44|0A|P0)/.test(error.sqlstate ?? "");
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
    const sent: { id: number; op: string; rows: number }[] = [];
    const tags = await run(subscriber, async (send) => {
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
    try {
      for (const piece of part.emitCopyRows(id, "insert")) await copy.writeFrames(piece.frame);
    } catch (error) {
      await copy.abort("the rows cannot be sent");
      throw error;
    }
    await copy.finish();
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
  let tags: string[];
  try {
    tags = await run(subscriber, async (send) => {
      for (const piece of part.emitOrdered(tableIds)) await send(piece.bytes);
    });
  } catch (error) {
    if (!isRefusal(error) || typeof error.facts.index !== "number") throw error;
    const event = part.eventAt(error.facts.index);
    throw new SkyqError(
      "apply-conflict",
      `[ev_id=${event.evId},ev_txid=${event.txid}] Cannot apply event "${event.type}" of table "${event.extra1}": ` +
        messageWithDetail(error),
      {
        hint:
          "Replay stops before this batch and tries again. Mend the row on the subscriber, or copy the table anew " +
          "with `skyq subscriber resync`.",
        facts: { ...error.facts, evId: event.evId, table: event.extra1 },
        ...(error.sqlstate === undefined ? {} : { sqlstate: error.sqlstate }),
        cause: error,
      },
    );
  }
  if (path.upsert) return;
  const firstMissed = tags.findIndex((tag) => rowsOf(tag) === 0);
  if (firstMissed < 0) return;
  const event = part.eventAt(firstMissed);
  noteMissed(path, stats, event.extra1 ?? "", event.type ?? "", tags.filter((tag) => rowsOf(tag) === 0).length);
}

/** Sends raw messages and waits for their tags. The bracket is closed whatever happens. */
async function run(
  db: WireConnection,
  work: (send: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<string[]> {
  try {
    await work((bytes) => db.sendRaw(bytes));
  } catch (error) {
    // The server's own answer says more than a write that failed because of it.
    await db.sync();
    throw error;
  }
  return await db.sync();
}

/** Names of the statements prepared on a connection. */
const prepared = new WeakMap<WireConnection, Set<string>>();

async function prepare(db: WireConnection, statements: readonly Statement[]): Promise<void> {
  let names = prepared.get(db);
  if (names === undefined) prepared.set(db, names = new Set());
  const fresh = statements.filter(({ name }) => !names.has(name));
  const results = await Promise.allSettled(fresh.map(({ name, sql }) => db.prepare(name, sql)));
  // A statement outlives a rollback, so a name once prepared stays.
  results.forEach((result, i) => {
    if (result.status === "fulfilled") names.add(fresh[i]!.name);
  });
  // In a transaction the first one says what is wrong, the others only that something is.
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** @example rowsOf("UPDATE 12") === 12 */
function rowsOf(tag: string): number {
  return Number(tag.slice(tag.lastIndexOf(" ") + 1));
}

/** By log, since that lives as long as the job: connections come and go. */
const driftWarnings = new WeakMap<Logger, AtMostEvery>();

function noteMissed({ log }: Path, stats: BatchStats, table: string, op: string, rows: number): void {
  stats.missedRows += rows;
  let limit = driftWarnings.get(log);
  if (limit === undefined) driftWarnings.set(log, limit = new AtMostEvery(DRIFT_WARNING_PERIOD_MS));
  if (!limit.allows(table)) return;
  log.warning(`${table}: ${op} met ${rows} row(s) fewer than the provider's: the tables have drifted apart`);
  log.info(`hint: \`skyq subscriber resync CONFIG ${table}\` copies it anew.`);
}
