/** What else may stand under the names of our schemas: the originals' version 2.1, halves of an installation. */
import { SkyqError } from "../base/errors.ts";
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

/** An SQL expression: which of the things that every PgQ has are missing in schema pgq, as an array of text. */
export const MISSING_OF_PGQ = `array(
  select n.name from pg_catalog.unnest(array['pgq.consumer', 'pgq.event_template', 'pgq.queue', 'pgq.retry_queue',
                                             'pgq.subscription', 'pgq.tick']) n(name)
   where pg_catalog.to_regclass(n.name) is null
  union all
  select n.name from pg_catalog.unnest(array['pgq.create_queue', 'pgq.finish_batch', 'pgq.get_batch_events',
                                             'pgq.get_consumer_info', 'pgq.get_queue_info', 'pgq.insert_event',
                                             'pgq.next_batch', 'pgq.register_consumer', 'pgq.ticker',
                                             'pgq.unregister_consumer', 'pgq.version']) n(name)
   where not exists (select 1 from pg_catalog.pg_proc p
                      where p.pronamespace = pg_catalog.to_regnamespace('pgq') and 'pgq.' || p.proname = n.name))`;

/** @param act what cannot be done · @param missing not empty */
export function incompletePgq(act: string, missing: readonly string[]): SkyqError {
  const more = missing.length > 3 ? ` and ${missing.length - 3} more` : "";
  return new SkyqError("not-installed", `${act}: schema pgq lacks ${missing.slice(0, 3).join(", ")}${more}`, {
    hint: "It is no PgQ, or a part of one: restore it whole, or name another database.",
    facts: { missing: [...missing] },
  });
}
