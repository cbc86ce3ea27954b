// What a refusal of the server is about: one row, its table, or the batch as a whole.

import { messageOf, SkyqError } from "../../base/errors.ts";
import type { EventText } from "../../codec/event_text.ts";
import { decodeUrl } from "../../codec/urlencode.ts";
import { serverMessage } from "../../db/errors.ts";

/** What becomes of a table whose row cannot be applied. */
export type OnError = "stop" | "skip-table" | "quarantine";
export const ON_ERROR = ["stop", "skip-table", "quarantine"] as const satisfies readonly OnError[];

/** What the config says about rows that cannot be applied. */
export interface ErrorPolicy {
  /** @param table as its events name it */
  onError(table: string): OnError;
  /** Events of one table in quarantine; one more, and the table is set aside instead. */
  readonly quarantineMax: number;
}

/**
 * - `row`: with another row the same statement would do. Data (21, 22), constraints (23, 44), limits (54), what a trigger
 *   or a function raised (P0, 27, 38, 39).
 * - `table`: no row of the table would do. Names, types, privileges (42), schemas (3F), what a table is not made for (0A).
 * - `batch`: the server, the connection, the transaction. Time limits, locks, deadlocks, disks, shutdowns, and whatever
 *   is not known.
 */
export type Blame = "row" | "table" | "batch";

/** @param error of a statement, not of the commit: what is deferred until then is nobody's in particular */
export function blameOf(error: unknown): Blame {
  const sqlstate = error instanceof SkyqError ? error.sqlstate ?? "" : "";
  if (/^(21|22|23|27|38|39|44|54|P0)/.test(sqlstate)) return "row";
  return /^(42|3F|0A)/.test(sqlstate) ? "table" : "batch";
}

/** What the server said, with its DETAIL, which names the row. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof SkyqError)) return messageOf(error);
  const { detail } = error.facts;
  return serverMessage(error) + (typeof detail === "string" ? ` (${detail})` : "");
}

/** A key for people. @example showKey("id=1&k=a+b") === "(id, k)=(1, a b)" */
export function showKey(key: string): string {
  const elements = [...decodeUrl(key)];
  return `(${elements.map(([name]) => name).join(", ")})=(${elements.map(([, value]) => value ?? "NULL").join(", ")})`;
}

/** An event that the server refuses, named in full. `facts` say what the replay does about it. */
export function conflict(
  event: EventText,
  key: string | null,
  tickId: bigint,
  error: SkyqError,
  hint: string,
): SkyqError {
  return new SkyqError(
    "apply-conflict",
    `[ev_id=${event.evId},ev_txid=${event.txid}] Cannot apply event "${event.type}" of table "${event.extra1}"` +
      `${key === null ? "" : `, key ${showKey(key)}`}, of the batch that ends with tick ${tickId}: ${reasonOf(error)}`,
    {
      hint,
      facts: { ...error.facts, detail: undefined, evId: event.evId, table: event.extra1 },
      ...(error.sqlstate === undefined ? {} : { sqlstate: error.sqlstate }),
      cause: error,
    },
  );
}

/** A table that no row can be applied to, as it is now. */
export function misfit(table: string, reason: string, hint: string, cause: SkyqError): SkyqError {
  return new SkyqError("structure", `Cannot apply events of table "${table}": ${reason}`, {
    hint,
    facts: { table },
    ...(cause.sqlstate === undefined ? {} : { sqlstate: cause.sqlstate }),
    cause,
  });
}
