import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import { type MaintOperation, maintOperations } from "../../queue/pgq.ts";

/** How often an operation is called in one round; one that always says that it did something keeps nobody waiting. */
const CALLS_MAX = 100;

/**
 * Runs the operations that `pgq.maint_operations()` lists, each in a transaction of its own. One that fails is logged
 * and does not stop the others; one that says it did something is called again, after all others had their turn.
 * @param isOver whether `db` is lost or nobody wants the round any more: it ends before the next call
 * @returns how many calls were made
 */
export async function runMaintenance(
  db: Queryable,
  log: Logger,
  isOver: () => boolean = () => false,
): Promise<number> {
  let count = 0;
  let due = await maintOperations(db);
  for (let round = 0; due.length > 0 && round < CALLS_MAX; round++) {
    const busy: MaintOperation[] = [];
    for (const operation of due) {
      if (isOver()) return count;
      try {
        count++;
        if (await runOperation(db, operation)) busy.push(operation);
      } catch (error) {
        if (isOver()) throw error;
        log.error(`Maintenance ${nameOf(operation)} failed: ${messageOf(error)}`);
      }
    }
    due = busy;
  }
  for (const operation of due) {
    log.warning(
      `Maintenance ${nameOf(operation)} had work left after ${CALLS_MAX} calls, it goes on in the next round`,
    );
  }
  return count;
}

function nameOf({ func_name, func_arg }: MaintOperation): string {
  return `${func_name}(${func_arg ?? ""})`;
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
