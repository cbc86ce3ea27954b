// The capture triggers of the provider's tables, as an operator meets them.

import type { Logger } from "../../base/log.ts";
import { type Locker, withLocks } from "../../db/locks.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { SqlConnection } from "../../db/sql.ts";

/**
 * Locks a table whose triggers are to be made or replaced: against writers, and against readers as well when it has
 * triggers that may have to go. A lock that had to be made stronger later would be a deadlock waiting to happen.
 */
export async function lockForTriggers(tx: Queryable, lock: Locker, table: string): Promise<void> {
  const rows = await tx.query<{ has_any: boolean }>(
    `select exists (select 1 from skyq._queue_triggers(c.oid)) as has_any
       from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1)`,
    [quoteFullName(table)],
  );
  if (rows[0] === undefined) return;
  await lock(tx, [quoteFullName(table)], rows[0].has_any ? "access exclusive" : "share row exclusive");
}

export interface CaptureProblem {
  /** The name under which the table is registered. */
  readonly table: string;
  /** What it is called now, null when it is gone. */
  readonly localName: string | null;
  readonly problem: string;
}

/** What is wrong with the captures of a queue: triggers gone or disabled, tables altered, renamed or gone. */
export async function captureProblems(db: Queryable, queue: string): Promise<CaptureProblem[]> {
  const rows = await db.query<{ table: string; local_name: string | null; problem: string | null }>(
    `select c.table_name as table, c.local_name, c.problem from skyq.check_capture($1) c
      where c.problem is not null
         or c.local_name is distinct from c.table_name
            and not exists (select 1 from londiste.table_info t
                             where t.queue_name = $1 and t.table_name = c.table_name and t.dest_table = c.local_name)`,
    [queue],
  );
  return rows.map((row) => ({
    table: row.table,
    localName: row.local_name,
    problem: row.problem ?? `it is called ${row.local_name} on the provider now`,
  }));
}

/**
 * Makes the capture of a registered table again if its triggers are gone or disabled.
 * @returns whether it had to be made again: what was written meanwhile was not logged then
 */
export async function repairCapture(db: SqlConnection, queue: string, table: string, log: Logger): Promise<boolean> {
  const found = (await captureProblems(db, queue)).find((problem) => problem.table === table);
  if (found === undefined || found.localName === null || !found.problem.startsWith("trigger is")) return false;
  const name = found.localName;
  await withLocks({ act: `Cannot capture ${table}`, log }, (lock) =>
    db.transaction(async (tx) => {
      await lockForTriggers(tx, lock, name);
      await tx.query(
        `select skyq.create_capture($1, $2, c.trigger_args, c.mode)
           from skyq.capture c where c.queue_name = $1 and c.table_name = $3`,
        [queue, name, table],
      );
    }));
  log.warning(`${table}: its capture was made again (${found.problem}); what was written meanwhile is not replicated`);
  log.warning(`Copy the table anew on every subscriber: skyq subscriber resync CONFIG ${table}`);
  return true;
}
