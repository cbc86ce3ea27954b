// The capture triggers of the provider's tables, as an operator meets them.

import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import type { SqlConnection } from "../../db/sql.ts";

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
  await db.query(
    `select skyq.create_capture($1, $2, c.trigger_args, c.mode)
       from skyq.capture c where c.queue_name = $1 and c.table_name = $3`,
    [queue, found.localName, table],
  );
  log.warning(`${table}: its capture was made again (${found.problem}); what was written meanwhile is not replicated`);
  log.warning(`Copy the table anew on every subscriber: skyq subscriber resync CONFIG ${table}`);
  return true;
}
