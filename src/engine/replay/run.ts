// What both ways of applying rows do with the subscriber's connection.

import type { Logger } from "../../base/log.ts";
import { AtMostEvery } from "../../base/time.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import type { BatchStats, Path } from "./path.ts";
import type { Statement } from "./plan.ts";

/** Sends raw messages and waits for their tags. The bracket is closed whatever happens. */
export async function sendRun(
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

/** Prepares what is not yet. */
export async function prepare(db: WireConnection, statements: readonly Statement[]): Promise<void> {
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
export function rowsOf(tag: string): number {
  return Number(tag.slice(tag.lastIndexOf(" ") + 1));
}

/** A table that has drifted is complained of this often; how many rows were missed stands in every batch's line. */
const DRIFT_WARNING_PERIOD_MS = 60_000;

/** By log, since that lives as long as the job: connections come and go. */
const driftWarnings = new WeakMap<Logger, AtMostEvery>();

/** What a statement did, by the first word of its tag in lower case. */
export type Op = "insert" | "update" | "delete";

/** Of so many events that changed nothing the table is looked up; of more, which are the same trouble, only the op. */
const MISSED_LOOKED_UP_MAX = 100;

/**
 * `noteMissed` for statements of one row each.
 * @param tags the server's, one for each statement
 * @param tableOf the table of statement `i`
 */
export function noteMissedTags(
  path: Path,
  stats: BatchStats,
  tags: readonly string[],
  tableOf: (i: number) => string,
): void {
  const missed = new Map<string, { table: string; op: Op; rows: number }>();
  let table = "";
  let count = 0;
  tags.forEach((tag, i) => {
    if (rowsOf(tag) > 0) return;
    if (count++ < MISSED_LOOKED_UP_MAX) table = tableOf(i);
    const op = tag.slice(0, tag.indexOf(" ")).toLowerCase() as Op;
    const known = missed.get(`${op} ${table}`);
    if (known === undefined) missed.set(`${op} ${table}`, { table, op, rows: 1 });
    else known.rows++;
  });
  for (const { table, op, rows } of missed.values()) noteMissed(path, stats, table, op, rows);
}

/** Counts rows that a statement did not change though the server refused nothing, and says so now and then. */
export function noteMissed({ log }: Path, stats: BatchStats, table: string, op: Op, rows: number): void {
  stats.missedRows += rows;
  let limit = driftWarnings.get(log);
  if (limit === undefined) driftWarnings.set(log, limit = new AtMostEvery(DRIFT_WARNING_PERIOD_MS));
  if (!limit.allows(table)) return;
  const count = rows === 1 ? "a row" : `${rows} rows`;
  if (op === "insert") {
    log.warning(`${table}: ${count} to insert did not get in: a trigger or rule of the subscriber's keeps them out`);
  } else {
    log.warning(`${table}: ${count} to ${op} ${rows === 1 ? "is" : "are"} not there: the tables have drifted apart`);
  }
  log.info(`hint: \`skyq subscriber resync CONFIG ${table}\` copies it anew.`);
}
