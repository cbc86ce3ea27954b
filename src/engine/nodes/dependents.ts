// What hangs on a subscriber's tables: foreign keys and triggers, there (active) or taken away for now (pending).

import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { Queryable } from "../../db/queryable.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { findTableFkeys, type Fkey, getTableList, pendingFkeys, restoreFkey } from "../../queue/londiste.ts";
import { matchNames } from "./names.ts";
import { requireLeaf, requireRoot } from "./node.ts";

export type Kind = "pending" | "active";

export interface TableTrigger {
  readonly table_name: string;
  readonly trigger_name: string;
  readonly trigger_def: string;
}

/** Tables that are registered on both sides, in the subscriber's order. */
export async function sharedTables(
  pair: { provider: SqlConnection; subscriber: SqlConnection },
  queue: string,
): Promise<string[]> {
  await requireRoot(pair.provider, queue);
  await requireLeaf(pair.subscriber, queue);
  const names = async (db: Queryable) =>
    (await getTableList(db, queue)).filter((row) => row.local).map((row) => row.table_name);
  const there = new Set(await names(pair.provider));
  return (await names(pair.subscriber)).filter((name) => there.has(name));
}

/**
 * Foreign keys, each once: active ones from or to any of the tables; all that are pending, whether or not their tables are
 * still subscribed.
 */
export async function listFkeys(db: Queryable, tables: readonly string[], kind: Kind): Promise<Fkey[]> {
  if (kind === "pending") return await pendingFkeys(db);
  const found = new Map<string, Fkey>();
  for (const table of tables) {
    for (const fkey of await findTableFkeys(db, table)) {
      found.set(JSON.stringify([fkey.from_table, fkey.fkey_name]), fkey);
    }
  }
  return [...found.values()];
}

/** The users' triggers of the tables. */
export async function listTriggers(db: Queryable, tables: readonly string[], kind: Kind): Promise<TableTrigger[]> {
  const found: TableTrigger[] = [];
  for (const table of tables) {
    const rows = kind === "active"
      ? await db.query<TableTrigger>(
        `select $2::text as table_name, t.tgname as trigger_name, pg_catalog.pg_get_triggerdef(t.oid) as trigger_def
           from pg_catalog.pg_trigger t
          where t.tgrelid = pg_catalog.to_regclass($1) and not t.tgisinternal
          order by t.tgname`,
        [quoteFullName(table), table],
      )
      : await db.query<TableTrigger>(
        `select p.table_name, p.trigger_name, p.trigger_def from skyq.pending_trigger p
          where p.table_name = $1 order by p.trigger_name`,
        [table],
      );
    found.push(...rows);
  }
  return found;
}

/**
 * Restores pending foreign keys now: of the named tables, or all. A key that the data violate stays pending.
 * @returns false when one could not be restored, or a name is unknown
 */
export async function restorePendingFkeys(
  db: SqlConnection,
  queue: string,
  names: readonly string[],
  log: Logger,
): Promise<boolean> {
  await requireLeaf(db, queue);
  const all = await pendingFkeys(db);
  let isDone = true;
  const wanted = new Set(names.flatMap((typed) => {
    const matching = matchNames(typed, all.flatMap((fkey) => [fkey.from_table, fkey.to_table]));
    if (matching.length === 0) {
      log.error(`Table ${typed} has no pending fkeys`);
      isDone = false;
    }
    return matching;
  }));
  const pending = names.length === 0
    ? all
    : all.filter((fkey) => wanted.has(fkey.from_table) || wanted.has(fkey.to_table));
  if (pending.length === 0) log.info("No pending fkeys");
  for (const fkey of pending) {
    log.info(`Creating fkey: ${fkey.fkey_name} (${fkey.from_table} --> ${fkey.to_table})`);
    try {
      await restoreFkey(db, fkey, log);
    } catch (error) {
      isDone = false;
      log.error(`Cannot restore fkey ${fkey.fkey_name}: ${messageOf(error)}; it stays pending`);
    }
  }
  return isDone;
}
