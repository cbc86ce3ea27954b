import type { Logger } from "../../base/log.ts";
import { SkyqError } from "../../base/errors.ts";
import { during } from "../../db/errors.ts";
import { quoteFullName, quoteIdent, splitName } from "../../db/quote.ts";
import type { WireConnection } from "../../db/wire/connection.ts";

interface IndexRow {
  index_name: string;
  /** Null for an index that no constraint owns. */
  constraint_name: string | null;
  create_sql: string;
  comment_sql: string | null;
  cluster: boolean;
  replica_identity: boolean;
}

export interface SetAside {
  /** Makes them again, in the same transaction. */
  putBack(): Promise<void>;
}

/**
 * Drops the indexes of a table, with the constraints that own them, and remembers how to make them again: filling the
 * table and building them afterwards is faster than keeping them. Caller's transaction; a crash rolls both back.
 * An index that something else needs (a view grouped by the primary key, another table's foreign key) stays.
 */
export async function setAsideIndexes(db: WireConnection, table: string, log: Logger): Promise<SetAside> {
  const { schema, name } = splitName(table);
  const sql = quoteFullName(table);
  const rows = await db.query<IndexRow>(
    `select ic.relname as index_name, con.conname as constraint_name,
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
            i.indisclustered as cluster, i.indisreplident as replica_identity
       from pg_catalog.pg_index i
       join pg_catalog.pg_class ic on ic.oid = i.indexrelid
       join pg_catalog.pg_class c on c.oid = i.indrelid and c.relkind = 'r'
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       left join pg_catalog.pg_constraint con on con.conindid = i.indexrelid and con.contype in ('p', 'u', 'x')
       left join pg_catalog.pg_tablespace ts on ts.oid = ic.reltablespace
      where n.nspname = $1 and c.relname = $2 and not c.relispartition and i.indisvalid
        -- Where the tablespace cannot be said at the end of the definition, the index stays.
        and (ts.oid is null or (i.indpred is null and not coalesce(con.condeferrable, false)))
      order by con.contype = 'p' desc nulls last, ic.relname`,
    [schema, name, sql],
  );
  const dropped: IndexRow[] = [];
  for (const row of rows) {
    await db.exec("savepoint skyq_index");
    try {
      await db.exec(
        row.constraint_name === null
          ? `drop index ${quoteIdent(schema)}.${quoteIdent(row.index_name)}`
          : `alter table ${sql} drop constraint ${quoteIdent(row.constraint_name)}`,
      );
      await db.exec("release savepoint skyq_index");
      log.info(`Dropping ${row.index_name}`);
      dropped.push(row);
    } catch (error) {
      if (db.isClosed) throw error;
      await db.exec("rollback to savepoint skyq_index; release savepoint skyq_index");
      if (error instanceof SkyqError && error.fault === "privilege") {
        log.info(`${table}: its indexes stay during the copy, which makes it slower: only its owner may drop them`);
        break;
      }
      log.debug(`${table}: index ${row.index_name} stays during the copy: something depends on it`);
    }
  }
  return {
    async putBack() {
      for (const row of dropped) {
        log.info(`Creating ${row.index_name}`);
        await during(`Cannot create index "${row.index_name}" of table "${table}"`, db.exec(row.create_sql));
        if (row.comment_sql !== null) await db.exec(row.comment_sql);
        if (row.cluster) await db.exec(`alter table ${sql} cluster on ${quoteIdent(row.index_name)}`);
        if (row.replica_identity) {
          await db.exec(`alter table ${sql} replica identity using index ${quoteIdent(row.index_name)}`);
        }
      }
    },
  };
}
