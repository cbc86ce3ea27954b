/** A database of an earlier version comes to the same shape as a fresh one. */
import { describe, expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { installSchemas } from "../../../src/db/install.ts";
import { openSql, type SqlConnection } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { lendDatabases } from "../../harness/pair.ts";

const SHAPE = `
  select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' '
         || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || case when a.attnotnull then ' not null' else '' end
         || ' ' || coalesce(c.relacl::text, '') as line
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where c.relnamespace = 'skyq'::regnamespace and c.relkind in ('r', 'i', 'S')
  union all
  select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    from pg_constraint where connamespace = 'skyq'::regnamespace
  union all
  select p.oid::regprocedure || ' ' || pg_get_function_result(p.oid) || ' ' || coalesce(p.proacl::text, '')
    from pg_proc p where p.pronamespace = 'skyq'::regnamespace
  order by 1`;

async function shape(db: SqlConnection): Promise<string[]> {
  return (await db.query<{ line: string }>(SHAPE)).map((row) => row.line);
}

describe("installSchemas() on a database of the first version", () => {
  it("makes what a fresh one has, dead letters, limits and upgrades included", async () => {
    const [fresh, , old] = await lendDatabases(3);
    await using a = await openSql(parseTarget(fresh.dsn()));
    await using b = await openSql(parseTarget(old.dsn()));
    for (const db of [a, b]) await installSchemas(db, { log: silentLog });
    await b.exec(`
      drop table skyq.failed_event, skyq.queue_policy, skyq.upgrade, skyq.upgraded_trigger, skyq.quarantine, skyq.set_aside;
      drop function skyq.event_failed, skyq.failed_event_retry, skyq.failed_event_drop, skyq.maint_queue_policy,
                    skyq.set_queue_policy, skyq.rotation_holders, skyq.queue_size, skyq._drop_consumer,
                    skyq.fence_worker, skyq.set_fence;
      drop function skyq._text_settings(oid);
      create function skyq._text_settings(i_table oid) returns text language sql as 'select null::text';
      delete from skyq.migration where schema_name = 'skyq' and id in (1, 2, 4)`);
    expect(await shape(b)).not.toEqual(await shape(a));
    const report = await installSchemas(b, { log: silentLog });
    expect(report.schemas.find(({ name }) => name === "skyq")).toEqual({
      name: "skyq",
      state: "updated",
      migrations: 3,
    });
    expect(await shape(b)).toEqual(await shape(a));
  });

  it("takes away the index on what every batch changes, while a batch is open", async () => {
    const [database] = await lendDatabases(1);
    await using db = await openSql(parseTarget(database.dsn()));
    await installSchemas(db, { log: silentLog });
    await db.exec(`
      alter table pgq.subscription add constraint subscription_batch_idx unique (sub_batch);
      delete from skyq.migration where schema_name = 'pgq' and id = 1;
      select pgq.create_queue('q'), pgq.register_consumer('q', 'c');
      select pgq.set_queue_config('q', 'ticker_idle_period', '0'), pgq.set_queue_config('q', 'ticker_max_lag', '0')`);
    await db.exec("select pgq.ticker('q')");
    const [open] = await db.query<{ batch: bigint }>("select pgq.next_batch('q', 'c') as batch");
    const report = await installSchemas(db, { log: silentLog });
    expect(report.schemas.find(({ name }) => name === "pgq")?.migrations).toBe(1);
    expect(await db.query("select 1 from pg_class where relname = 'subscription_batch_idx'")).toEqual([]);
    expect(await db.query("select pgq.finish_batch($1) as done", [open!.batch])).toEqual([{ done: 1 }]);
  });
});
