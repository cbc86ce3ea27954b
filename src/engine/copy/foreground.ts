// One table's copy for an operator who watches it, beside the replay or without one.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import { getTableList, moveTableState } from "../../queue/londiste.ts";
import { matchNames } from "../nodes/names.ts";
import { PATIENCE_MS } from "../replay/job_lock.ts";
import { forgetChunks } from "./chunks.ts";
import { runTableCopy, type TableCopyOptions } from "./table_copy.ts";

/**
 * Finds the table an operator means and claims it for a copy.
 * @param db the subscriber
 * @param typed the table's name as it was typed
 * @returns its full name; its state is none that a copy has nothing to do in
 * @throws {SkyqError} `not-found`, `refused` when it is in sync
 */
export async function claimCopy(db: Queryable, typed: string, job: { queue: string; log: Logger }): Promise<string> {
  const { queue, log } = job;
  const rows = (await getTableList(db, queue)).filter((row) => row.local);
  const [table, ...others] = matchNames(typed, rows.map((row) => row.table_name));
  if (table === undefined || others.length > 0) {
    throw new SkyqError(
      "not-found",
      `Cannot copy table "${typed}": ${table === undefined ? "it is not subscribed" : "more than one table matches"}`,
      { hint: "`skyq subscriber tables` lists them; `skyq subscriber add` subscribes one." },
    );
  }
  const state = rows.find((row) => row.table_name === table)!.merge_state;
  if (state === "ok") {
    throw new SkyqError("refused", `Cannot copy table "${table}": it is in sync`, {
      hint: `\`skyq subscriber resync CONFIG ${table}\` has it copied anew.`,
    });
  }
  if (state === null) {
    await forgetChunks(db, { queue, table });
    // Somebody else may have done it just now: the lock of the copy decides who goes on.
    if (await moveTableState(db, { queue, table, from: null, to: "in-copy", snapshot: null })) {
      log.info(`Table ${table} status changed to 'in-copy'`);
    }
  }
  return table;
}

/**
 * Copies a table, or goes on with its copy, until it is handed over to the replay; where none runs, until it waits for
 * one.
 * @throws {SkyqError} `already-running` when somebody has this copy in hand, `stopped`, or what the copy met; what is
 *   loaded stays, and the copy can be gone on with
 */
export async function copyForeground(options: Omit<TableCopyOptions, "patienceMs" | "leaveWaiting">): Promise<void> {
  const { table, signal } = options;
  try {
    await runTableCopy({ ...options, patienceMs: PATIENCE_MS, leaveWaiting: true });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (signal.aborted) {
    throw new SkyqError("stopped", `Copy of "${table}" stopped: what is loaded stays`, {
      hint: "A running replay goes on with it, as does this command.",
    });
  }
}
