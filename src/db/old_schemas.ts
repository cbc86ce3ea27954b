/** Schemas of the originals' version 2.1, which have the names of ours. */
import type { Queryable } from "./queryable.ts";

/** Whether schema pgq is that of PgQ 2.1. */
export async function isPgq2(db: Queryable): Promise<boolean> {
  // Of all versions that have these columns only 2.1 lacks the third.
  const rows = await db.query(
    `select 1
       from pg_catalog.pg_attribute a
      where a.attrelid = pg_catalog.to_regclass('pgq.queue') and not a.attisdropped
        and a.attname in ('queue_switch_step1', 'queue_ticker_max_count', 'queue_disable_insert')
     having count(*) = 2 and not 'queue_disable_insert' = any (pg_catalog.array_agg(a.attname::text))`,
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
