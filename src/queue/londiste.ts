import { SkyqError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { withLocks } from "../db/locks.ts";
import { one, type Queryable } from "../db/queryable.ts";
import { quoteFullName } from "../db/quote.ts";
import { checkRet, type Ret } from "./pgq_node.ts";

/** One row of londiste.table_info. */
export interface TableRow {
  table_name: string;
  local: boolean;
  /** null, `in-copy`, `catching-up`, `wanna-sync:TICK`, `do-sync:TICK` or `ok`. */
  merge_state: string | null;
  /** Snapshot the first copy saw, `xmin:xmax:x1,x2`, while it still matters. */
  custom_snapshot: string | null;
  table_attrs: string | null;
  /** The local table's name when it differs from `table_name`. */
  dest_table: string | null;
}

/**
 * All tables the queue knows, in the order they were registered. Asked twice for each batch, so not by
 * londiste.get_table_list(), which finds out for each table with two more queries which copies of it there are.
 */
export function getTableList(db: Queryable, queue: string): Promise<TableRow[]> {
  return db.query(
    `select t.table_name, t.local, t.merge_state, t.custom_snapshot, t.table_attrs, t.dest_table
       from londiste.table_info t where t.queue_name = $1 order by t.nr`,
    [queue],
  );
}

/**
 * londiste.local_add_table. @param attrs urlencoded, kept with the table. Returns the function's code and note: 2xx added, 3xx added with a warning.
 * @throws {SkyqError} `refused` from 400 on
 */
export async function localAddTable(
  db: Queryable,
  queue: string,
  table: string,
  triggerArgs: readonly string[],
  attrs: string | null = null,
): Promise<Ret> {
  const ret = await one<Ret>(
    db,
    "select ret_code, ret_note from londiste.local_add_table($1, $2, $3::text[], $4)",
    [queue, table, triggerArgs, attrs],
  );
  if (ret.ret_code >= 400) checkRet(ret, `Cannot add table "${table}"`);
  return ret;
}

/** londiste.local_remove_table: on the root for the whole set, elsewhere the local registration. */
export async function localRemoveTable(db: Queryable, queue: string, table: string): Promise<Ret> {
  return checkRet(
    await one<Ret>(db, "select ret_code, ret_note from londiste.local_remove_table($1, $2)", [queue, table]),
    `Cannot remove table "${table}"`,
  );
}

/** londiste.global_add_table: makes a table known here. */
export async function globalAddTable(db: Queryable, queue: string, table: string): Promise<Ret> {
  return checkRet(
    await one<Ret>(db, "select ret_code, ret_note from londiste.global_add_table($1, $2)", [queue, table]),
    `Cannot make table "${table}" known`,
  );
}

/** londiste.global_remove_table: forgets a table, its local registration and triggers. */
export async function globalRemoveTable(db: Queryable, queue: string, table: string): Promise<Ret> {
  return await one<Ret>(db, "select ret_code, ret_note from londiste.global_remove_table($1, $2)", [queue, table]);
}

/** londiste.global_update_seq: stores a sequence's published value and moves the local one forward. */
export async function globalUpdateSeq(db: Queryable, queue: string, seq: string, value: bigint): Promise<Ret> {
  return checkRet(
    await one<Ret>(db, "select ret_code, ret_note from londiste.global_update_seq($1, $2, $3)", [queue, seq, value]),
    `Cannot update sequence "${seq}"`,
  );
}

/** londiste.global_remove_seq. */
export async function globalRemoveSeq(db: Queryable, queue: string, seq: string): Promise<Ret> {
  return await one<Ret>(db, "select ret_code, ret_note from londiste.global_remove_seq($1, $2)", [queue, seq]);
}

/** londiste.local_add_seq. */
export async function localAddSeq(db: Queryable, queue: string, seq: string): Promise<Ret> {
  return checkRet(
    await one<Ret>(db, "select ret_code, ret_note from londiste.local_add_seq($1, $2)", [queue, seq]),
    `Cannot add sequence "${seq}"`,
  );
}

/** londiste.local_remove_seq. */
export async function localRemoveSeq(db: Queryable, queue: string, seq: string): Promise<Ret> {
  return checkRet(
    await one<Ret>(db, "select ret_code, ret_note from londiste.local_remove_seq($1, $2)", [queue, seq]),
    `Cannot remove sequence "${seq}"`,
  );
}

/**
 * londiste.root_check_seqs, on the root: publishes the values of sequences that come near what was published. One caller
 * at a time; who finds another at it leaves it to that one.
 */
export async function rootCheckSeqs(db: Queryable, queue: string): Promise<void> {
  await db.query(
    `select londiste.root_check_seqs($1)
      where pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('skyq root_check_seqs ' || $1, 0))
        and exists (select 1 from londiste.seq_info s where s.queue_name = $1 and s.local)`,
    [queue],
  );
}

/** londiste.execute_start. Codes: 200 run it, 201 it ran here before, from 400 on a refusal. */
export function executeStart(
  db: Queryable,
  queue: string,
  file: string,
  sql: string,
  expectRoot: boolean,
  attributes: string,
): Promise<Ret> {
  return one<Ret>(db, "select ret_code, ret_note from londiste.execute_start($1, $2, $3, $4, $5)", [
    queue,
    file,
    sql,
    expectRoot,
    attributes,
  ]);
}

/** londiste.execute_finish: on the root the script goes into the queue. */
export async function executeFinish(db: Queryable, queue: string, file: string): Promise<Ret> {
  return checkRet(
    await one<Ret>(db, "select ret_code, ret_note from londiste.execute_finish($1, $2)", [queue, file]),
    `Cannot finish execution of "${file}"`,
  );
}

export interface SeqRow {
  seq_name: string;
  last_value: bigint;
  local: boolean;
}

/** londiste.get_seq_list. */
export function getSeqList(db: Queryable, queue: string): Promise<SeqRow[]> {
  return db.query("select seq_name, last_value, local from londiste.get_seq_list($1)", [queue]);
}

/**
 * Moves a table from one merge state to the next, only if it still is in the state `from`: the owner of a state alone
 * may leave it (compare and set; the row is locked first).
 * @returns false when the table was not in `from` any more
 */
export async function moveTableState(db: Queryable, change: {
  queue: string;
  table: string;
  from: string | null;
  to: string | null;
  snapshot: string | null;
}): Promise<boolean> {
  const rows = await db.query<Ret>(
    `with mine as materialized (
         select t.queue_name, t.table_name
           from londiste.table_info t
          where t.queue_name = $1 and t.table_name = $2 and t.local and t.merge_state is not distinct from $3
            for update)
     select r.ret_code, r.ret_note
       from mine, londiste.local_set_table_state(mine.queue_name, mine.table_name, $4, $5) r`,
    [change.queue, change.table, change.from, change.snapshot, change.to],
  );
  if (rows[0] === undefined) return false;
  checkRet(rows[0], `Cannot set state of table "${change.table}"`);
  return true;
}

export interface Fkey {
  from_table: string;
  to_table: string;
  fkey_name: string;
  fkey_def: string;
}

/** londiste.find_table_fkeys: foreign keys from or to the table. */
export function findTableFkeys(db: Queryable, table: string): Promise<Fkey[]> {
  return db.query("select from_table, to_table, fkey_name, fkey_def from londiste.find_table_fkeys($1)", [table]);
}

/** londiste.drop_table_fkey: drops it and remembers how to make it again. @returns false when it was not there */
export async function dropTableFkey(db: Queryable, fromTable: string, name: string): Promise<boolean> {
  return (await one<{ n: number }>(db, "select londiste.drop_table_fkey($1, $2) as n", [fromTable, name])).n === 1;
}

/** Notes a foreign key to be made once both its tables are there and in sync; one that is noted already stays as it is. */
export async function addPendingFkey(db: Queryable, fkey: Fkey): Promise<void> {
  await db.query(
    `insert into londiste.pending_fkeys (from_table, to_table, fkey_name, fkey_def) values ($1, $2, $3, $4)
         on conflict (from_table, fkey_name) do nothing`,
    [fkey.from_table, fkey.to_table, fkey.fkey_name, fkey.fkey_def],
  );
}

/** All foreign keys that were dropped and not made again. */
export function pendingFkeys(db: Queryable): Promise<Fkey[]> {
  return db.query(
    `select f.from_table, f.to_table, f.fkey_name, f.fkey_def from londiste.pending_fkeys f
      order by f.from_table, f.to_table, f.fkey_name`,
  );
}

/**
 * Pending foreign keys that may be made now: both tables are there, and none of them is being copied, or still has to
 * be. Tables that are not subscribed at all do not keep a key away, as they did in the originals: they do not change by
 * replication.
 */
export function restorablePendingFkeys(db: Queryable): Promise<Fkey[]> {
  return db.query(
    `select f.from_table, f.to_table, f.fkey_name, f.fkey_def
       from londiste.pending_fkeys f
      where pg_catalog.to_regclass(londiste.quote_fqname(f.from_table)) is not null
        and pg_catalog.to_regclass(londiste.quote_fqname(f.to_table)) is not null
        and not exists (select 1 from londiste.table_info t
                         where t.local and coalesce(t.dest_table, t.table_name) in (f.from_table, f.to_table)
                           and (t.merge_state is distinct from 'ok' or t.custom_snapshot is not null))
      order by f.from_table, f.to_table, f.fkey_name`,
  );
}

/**
 * londiste.restore_table_fkey in its lazy form: ADD … NOT VALID, then VALIDATE, each in a transaction of its own.
 * @throws {SkyqError} `sql` when the data violate it, with some of the rows that do; it stays pending then
 */
export async function restoreFkey(db: Queryable, fkey: Fkey, log: Logger): Promise<void> {
  const tables = [quoteFullName(fkey.from_table), quoteFullName(fkey.to_table)];
  const act = `Cannot make foreign key ${fkey.fkey_name} of ${fkey.from_table}`;
  const add = (sql: string) =>
    withLocks({ act, log }, async (lock) => {
      await db.query("begin");
      try {
        await lock(db, tables, "share row exclusive");
        await db.query(sql);
        await db.query("commit");
      } catch (error) {
        // The first error is the one to tell; if the connection is gone the server rolls back by itself.
        await db.query("rollback").catch(() => {});
        throw error;
      }
    });
  for (;;) {
    const row = await one<{ sql: string | null }>(
      db,
      "select londiste.restore_table_fkey($1, $2, true) as sql",
      [fkey.from_table, fkey.fkey_name],
    );
    if (row.sql === null || row.sql === "") return;
    try {
      // To validate locks out no writer.
      await (/ validate constraint /.test(row.sql) ? db.query(row.sql) : add(row.sql));
    } catch (error) {
      if (!(error instanceof SkyqError) || error.sqlstate !== "23503") throw error;
      const rows = await violatingRows(db, fkey);
      throw new SkyqError("sql", `${error.message}; rows of ${fkey.from_table} that refer to nothing: ${rows}`, {
        hint: `Mend them, then run \`skyq subscriber restore-fkeys\`; the replay tries again by itself, but rarely.`,
        facts: error.facts,
        sqlstate: error.sqlstate,
        cause: error,
      });
    }
  }
}

/** How many rows that violate a foreign key are named. */
const VIOLATING_ROWS_SHOWN = 5;

/**
 * Some of the rows that keep a foreign key from being valid, as `(parent_id) = (5) in (id) = (17), …`. The key exists,
 * not validated.
 */
async function violatingRows(db: Queryable, fkey: Fkey): Promise<string> {
  const columns = await db.query<{ here: string; there: string; is_full: boolean }>(
    `select pg_catalog.quote_ident(a.attname) as here, pg_catalog.quote_ident(f.attname) as there,
            k.confmatchtype = 'f' as is_full
       from pg_catalog.pg_constraint k
       cross join lateral unnest(k.conkey, k.confkey) with ordinality as u (here, there, nth)
       join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.here
       join pg_catalog.pg_attribute f on f.attrelid = k.confrelid and f.attnum = u.there
      where k.conrelid = pg_catalog.to_regclass($1) and k.conname = $2 and k.contype = 'f'
      order by u.nth`,
    [quoteFullName(fkey.from_table), fkey.fkey_name],
  );
  if (columns.length === 0) return "unknown";
  const keys = await db.query<{ name: string }>(
    `select pg_catalog.quote_ident(a.attname) as name
       from pg_catalog.pg_index i
       cross join lateral unnest(i.indkey::int2[]) with ordinality as u (number, nth)
       join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.number
      where i.indrelid = pg_catalog.to_regclass($1) and i.indisprimary and u.nth <= i.indnkeyatts
      order by u.nth`,
    [quoteFullName(fkey.from_table)],
  );
  const text = (names: readonly string[]) =>
    `'(' || ${names.map((name) => `coalesce(c.${name}::text, 'NULL')`).join(" || ', ' || ")} || ')'`;
  const here = columns.map((column) => column.here);
  const key = keys.map(({ name }) => name);
  const isSet = (glue: string) => here.map((name) => `c.${name} is not null`).join(glue);
  const rows = await db.query<{ value: string; key: string | null }>(
    `select ${text(here)} as value, ${key.length === 0 ? "null" : text(key)} as key
       from only ${quoteFullName(fkey.from_table)} c
      where ${
      columns[0]!.is_full
        // Of a MATCH FULL key all columns are null, or none.
        ? `(${isSet(" or ")}) and not (${isSet(" and ")} and ${exists(fkey, columns)})`
        : `${isSet(" and ")} and not ${exists(fkey, columns)}`
    }
      order by 1, 2 limit ${VIOLATING_ROWS_SHOWN + 1}`,
  );
  const shown = rows.slice(0, VIOLATING_ROWS_SHOWN).map((row, nth) => {
    const names = nth === 0 ? [`(${here.join(", ")}) = `, `(${key.join(", ")}) = `] : ["", ""];
    return `${names[0]}${row.value}${row.key === null ? "" : ` in ${names[1]}${row.key}`}`;
  });
  if (rows.length > VIOLATING_ROWS_SHOWN) shown.push("…");
  return shown.join(", ");
}

/** Whether what row `c` refers to is there. */
function exists(fkey: Fkey, columns: readonly { here: string; there: string }[]): string {
  const pairs = columns.map(({ here, there }) => `p.${there} = c.${here}`).join(" and ");
  return `exists (select 1 from ${quoteFullName(fkey.to_table)} p where ${pairs})`;
}
