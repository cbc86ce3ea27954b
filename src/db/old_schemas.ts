/** Schemas of the originals' version 2.1, which have the names of ours. */
import type { Queryable } from "./queryable.ts";

/** Whether schema pgq is that of PgQ 2.1. */
export async function isPgq2(db: Queryable): Promise<boolean> {
  const rows = await db.query(
    `select 1 from pg_catalog.pg_class c
      where c.oid = pg_catalog.to_regclass('pgq.queue')
        and not exists (select 1 from pg_catalog.pg_attribute a
                         where a.attrelid = c.oid and a.attname = 'queue_disable_insert' and not a.attisdropped)`,
  );
  return rows.length > 0;
}

/** Whether schema londiste is that of Londiste 2.1, and not one in which version 3 was installed beside it. */
export async function isLondiste2(db: Queryable): Promise<boolean> {
  const rows = await db.query(
    `select 1 where pg_catalog.to_regclass('londiste.subscriber_table') is not null
                and pg_catalog.to_regclass('londiste.table_info') is null`,
  );
  return rows.length > 0;
}
