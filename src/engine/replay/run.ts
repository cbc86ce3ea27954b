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

/** Counts rows that an update or delete should have met, and says so now and then. */
export function noteMissed({ log }: Path, stats: BatchStats, table: string, op: string, rows: number): void {
  stats.missedRows += rows;
  let limit = driftWarnings.get(log);
  if (limit === undefined) driftWarnings.set(log, limit = new AtMostEvery(DRIFT_WARNING_PERIOD_MS));
  if (!limit.allows(table)) return;
  log.warning(`${table}: ${op} met ${rows} row(s) fewer than the provider's: the tables have drifted apart`);
  log.info(`hint: \`skyq subscriber resync CONFIG ${table}\` copies it anew.`);
}
