import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import { type MaintOperation, maintOperations } from "../../queue/pgq.ts";

/**
 * Runs the operations that `pgq.maint_operations()` lists, each in a transaction of its own. One that fails is logged
 * and does not stop the others; one that says it did something is called again.
 * @param isClosed whether `db` is lost, which ends the round
 * @returns how many were run
 */
export async function runMaintenance(
  db: Queryable,
  log: Logger,
  isClosed: () => boolean = () => false,
): Promise<number> {
  let count = 0;
  for (const operation of await maintOperations(db)) {
    try {
      for (let again = true; again; count++) again = await runOperation(db, operation);
    } catch (error) {
      if (isClosed()) throw error;
      log.error(`Maintenance ${operation.func_name}(${operation.func_arg ?? ""}) failed: ${messageOf(error)}`);
    }
  }
  return count;
}

async function runOperation(db: Queryable, { func_name, func_arg }: MaintOperation): Promise<boolean> {
  const word = func_name.toLowerCase();
  if (word === "vacuum" || word === "vacuum analyze") {
    await db.query(`${word} ${quoteFullName(func_arg ?? "")}`);
    return false;
  }
  const rows = func_arg === null
    ? await db.query<Record<string, unknown>>(`select * from ${quoteFullName(func_name)}()`)
    : await db.query<Record<string, unknown>>(`select * from ${quoteFullName(func_name)}($1)`, [func_arg]);
  const first = rows[0] === undefined ? null : Object.values(rows[0])[0];
  // londiste's and pgq_node's functions answer with a code of 100 or 200 ("done"), which asks for nothing.
  return typeof first === "number" && first !== 0 && !("ret_code" in rows[0]!);
}
