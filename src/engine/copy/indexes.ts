import type { Logger } from "../../base/log.ts";
import { SkyqError } from "../../base/errors.ts";
import { during } from "../../db/errors.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName, quoteIdent, splitName } from "../../db/quote.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { hasChunks } from "../../queue/skyq.ts";
import type { CopyId } from "./chunks.ts";

/** A copy, and the subscriber's table it fills. */
export interface IndexesOf extends CopyId {
  readonly dest: string;
}

interface FoundIndex extends PendingIndex {
  constraint_name: string | null;
  is_strict: boolean;
  can_drop: boolean;
}

/** An index that was dropped for a copy, with the constraint that owns it. */
export interface PendingIndex {
  /** The subscriber's table. */
  dest_table: string;
  index_name: string;
  /** The key of the table's events, which it is unique over; null for any other index. */
  key_columns: readonly string[] | null;
  create_sql: string;
  comment_sql: string | null;
  is_clustered: boolean;
  is_identity: boolean;
}

/** An index that refuses rows, and could not be dropped. */
export interface StrictIndex {
  readonly name: string;
  readonly isKey: boolean;
}

/**
 * Drops the indexes of a table, with the constraints that own them, and remembers in skyq.pending_index how to make them
 * again: filling the table and building them afterwards is faster than keeping them. Caller's transaction.
 * An index that something else needs (a view grouped by the primary key, another table's foreign key) stays.
 * @param key columns of the events' key
 * @returns the unique and excluding ones that stayed
 */
export async function setAsideIndexes(
  db: WireConnection,
  { queue, table, dest }: IndexesOf,
  key: readonly string[],
  log: Logger,
): Promise<StrictIndex[]> {
  const { schema, name } = splitName(dest);
  const sql = quoteFullName(dest);
  const rows = await db.query<FoundIndex>(
    `select $5::text as dest_table, ic.relname as index_name, con.conname as constraint_name,
            case when con.oid is null then pg_catalog.pg_get_indexdef(i.indexrelid)
                 else pg_catalog.format('alter table %s add constraint %I %s', $3::text, con.conname,
                                        pg_catalog.pg_get_constraintdef(con.oid)) end
              || case when ts.spcname is null then ''
                      when con.oid is not null then pg_catalog.format(' using index tablespace %I', ts.spcname)
                      else pg_catalog.format(' tablespace %I', ts.spcname) end as create_sql,
            case when con.oid is not null and pg_catalog.obj_description(con.oid, 'pg_constraint') is not null
                 then pg_catalog.format('comment on constraint %I on %s is %L', con.conname, $3::text,
                                        pg_catalog.obj_description(con.oid, 'pg_constraint'))
                 when pg_catalog.obj_description(ic.oid, 'pg_class') is not null
                 then pg_catalog.format('comment on index %I.%I is %L', n.nspname, ic.relname,
                                        pg_catalog.obj_description(ic.oid, 'pg_class')) end as comment_sql,
            i.indisclustered as is_clustered, i.indisreplident as is_identity,
            i.indisunique or i.indisexclusion as is_strict, case when ${
      isKeyIndex("$4")
    } then $4::text[] end as key_columns,
            c.relkind = 'r' and not c.relispartition and i.indisvalid
              -- Where the tablespace cannot be said at the end of the definition, the index stays.
              and (ts.oid is null or (i.indpred is null and not coalesce(con.condeferrable, false))) as can_drop
       from pg_catalog.pg_index i
       join pg_catalog.pg_class ic on ic.oid = i.indexrelid
       join pg_catalog.pg_class c on c.oid = i.indrelid
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       left join pg_catalog.pg_constraint con on con.conindid = i.indexrelid and con.contype in ('p', 'u', 'x')
       left join pg_catalog.pg_tablespace ts on ts.oid = ic.reltablespace
      where n.nspname = $1 and c.relname = $2
      order by con.contype = 'p' desc nulls last, ic.relname`,
    [schema, name, sql, key, dest],
  );
  const stayed: StrictIndex[] = [];
  let mayDrop = true;
  for (const row of rows) {
    const isDropped = mayDrop && row.can_drop && await drop(row);
    if (isDropped) {
      log.info(`Dropping ${row.index_name}`);
      await db.query(
        `insert into skyq.pending_index (queue_name, table_name, dest_table, index_name, key_columns, create_sql, comment_sql,
                                         is_clustered, is_identity)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (dest_table, index_name) do update
            set queue_name = excluded.queue_name, table_name = excluded.table_name, key_columns = excluded.key_columns,
                create_sql = excluded.create_sql, comment_sql = excluded.comment_sql,
                is_clustered = excluded.is_clustered, is_identity = excluded.is_identity`,
        [
          queue,
          table,
          dest,
          row.index_name,
          row.key_columns,
          row.create_sql,
          row.comment_sql,
          row.is_clustered,
          row.is_identity,
        ],
      );
    } else if (row.is_strict) {
      stayed.push({ name: row.index_name, isKey: row.key_columns !== null });
    }
  }
  return stayed;

  async function drop(row: FoundIndex): Promise<boolean> {
    await db.exec("savepoint skyq_index");
    try {
      await db.exec(
        row.constraint_name === null
          ? `drop index ${quoteIdent(schema)}.${quoteIdent(row.index_name)}`
          : `alter table ${sql} drop constraint ${quoteIdent(row.constraint_name)}`,
      );
      await db.exec("release savepoint skyq_index");
      return true;
    } catch (error) {
      if (db.isClosed) throw error;
      await db.exec("rollback to savepoint skyq_index; release savepoint skyq_index");
      if (error instanceof SkyqError && error.fault === "privilege") {
        log.info(`${dest}: its indexes stay during the copy, which makes it slower: only its owner may drop them`);
        mayDrop = false;
      } else {
        log.debug(`${dest}: index ${row.index_name} stays during the copy: something depends on it`);
      }
      return false;
    }
  }
}

/** SQL: whether index `i` is unique over the columns of an array and no others, at once and for all rows. */
const isKeyIndex = (columns: string) =>
  `(i.indisunique and i.indimmediate and i.indpred is null and i.indexprs is null
              and i.indnkeyatts = pg_catalog.cardinality(${columns}::text[])
              and not exists (select from pg_catalog.unnest(i.indkey::int2[]) with ordinality k (attnum, nr)
                                join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                               where k.nr <= i.indnkeyatts and a.attname::text <> all (${columns})))`;

/**
 * What keeps events from being applied to rows that may be there or not (`Path.upsert`), null when nothing does.
 * @param key columns of the events' key
 */
export async function whyNoUpsert(
  db: Queryable,
  { queue, table, dest }: IndexesOf,
  key: readonly string[],
): Promise<string | null> {
  const { schema, name } = splitName(dest);
  const rows = await db.query<
    { is_plain: boolean; has_key: boolean; has_identity: boolean; has_computed_key: boolean; identity: string | null }
  >(
    `select c.relkind = 'r' as is_plain, exists (select from pg_catalog.pg_index i
                                         where i.indrelid = c.oid and i.indisvalid and ${isKeyIndex("$3")})
              -- or there will be one again
              or exists (select from skyq.pending_index p
                          where p.queue_name = $4 and p.table_name = $5 and p.dest_table = $6
                            and p.key_columns @> $3::text[] and p.key_columns <@ $3::text[]) as has_key,
            exists (select from pg_catalog.pg_attribute a
                     where a.attrelid = c.oid and a.attidentity = 'a' and a.attname::text <> all ($3)) as has_identity,
            exists (select from pg_catalog.pg_attribute a
                     where a.attrelid = c.oid and a.attgenerated <> '' and a.attname::text = any ($3)) as has_computed_key,
            (select ic.relname from pg_catalog.pg_index i join pg_catalog.pg_class ic on ic.oid = i.indexrelid
              where i.indrelid = c.oid and i.indisreplident and not ${isKeyIndex("$3")}) as identity
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = $1 and c.relname = $2`,
    [schema, name, key, queue, table, dest],
  );
  const found = rows[0];
  if (found === undefined) return null; // whoever loads says so
  if (!found.is_plain) return "the subscriber's table is partitioned";
  if (!found.has_key) return "the subscriber's table has no unique index over the provider's primary key";
  if (found.has_identity) return "a column GENERATED ALWAYS AS IDENTITY cannot be set by an update";
  if (found.has_computed_key) return "a column of its key is generated";
  if (found.identity !== null) return `its replica identity is index ${found.identity}`;
  return null;
}

/** The indexes that are still to be made again, those of the key first. */
export async function pendingIndexes(db: Queryable, { queue, table }: CopyId): Promise<PendingIndex[]> {
  if (!await hasChunks(db)) return [];
  return await db.query<PendingIndex>(
    `select p.dest_table, p.index_name, p.key_columns, p.create_sql, p.comment_sql, p.is_clustered, p.is_identity
       from skyq.pending_index p where p.queue_name = $1 and p.table_name = $2
      order by p.key_columns is null, p.index_name`,
    [queue, table],
  );
}

/** Tables with pending indexes and no copy under way that would make them: it was removed in the middle. */
export async function tablesWithoutIndexes(db: Queryable, queue: string): Promise<string[]> {
  if (!await hasChunks(db)) return [];
  return (await db.query<{ table_name: string }>(
    `select distinct p.table_name from skyq.pending_index p
      where p.queue_name = $1
        and not exists (select from londiste.table_info t
                         where t.queue_name = p.queue_name and t.table_name = p.table_name and t.local
                           and t.merge_state is distinct from 'ok')`,
    [queue],
  )).map((row) => row.table_name);
}

/** Makes one index again, unless somebody has, and forgets that it was dropped. Caller's transaction. */
export async function makeIndex(db: WireConnection, index: PendingIndex, log: Logger): Promise<void> {
  const { dest_table: dest, index_name: name } = index;
  const sql = quoteFullName(dest);
  const found = await db.query<{ has_table: boolean; has_index: boolean }>(
    `select r.oid is not null as has_table,
            exists (select from pg_catalog.pg_index i join pg_catalog.pg_class ic on ic.oid = i.indexrelid
                     where i.indrelid = r.oid and ic.relname = $2) as has_index
       from (select pg_catalog.to_regclass($1)) r (oid)`,
    [sql, name],
  );
  if (found[0]!.has_table && !found[0]!.has_index) {
    log.info(`Creating ${name}`);
    await during(`Cannot create index "${name}" of table "${dest}"`, db.exec(index.create_sql));
    if (index.comment_sql !== null) await db.exec(index.comment_sql);
    if (index.is_clustered) await db.exec(`alter table ${sql} cluster on ${quoteIdent(name)}`);
    if (index.is_identity) await db.exec(`alter table ${sql} replica identity using index ${quoteIdent(name)}`);
  }
  await db.query("delete from skyq.pending_index p where p.dest_table = $1 and p.index_name = $2", [dest, name]);
}

/**
 * Throws away all but one row of each key: a row that was updated while chunks were read by place is there once for each
 * of its places. Which one stays does not matter, its event is to come. Caller's transaction, before the key's index.
 */
export async function dropRepeatedRows(db: WireConnection, dest: string, key: readonly string[]): Promise<number> {
  const sql = quoteFullName(dest);
  const columns = key.map(quoteIdent).join(", ");
  // This connection's planner is told to shun what reads a whole table, and there is nothing else to read it by.
  await db.exec("set local enable_seqscan = on");
  const [tag] = await during(
    `Cannot drop rows of table "${dest}" that were copied twice`,
    db.exec(
      `delete from only ${sql} where ctid = any (array(
         select r.ctid from (select t.ctid, pg_catalog.row_number() over (partition by ${columns}) as nth
                               from only ${sql} t) r where r.nth > 1))`,
    ),
  );
  await db.exec("set local enable_seqscan = off");
  return Number(tag!.slice(tag!.lastIndexOf(" ") + 1));
}
