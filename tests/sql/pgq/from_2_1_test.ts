/** Schema pgq of version 2.1 comes to the shape of a fresh one, and keeps what is in it. */
import { describe, expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { installSchemas } from "../../../src/db/install.ts";
import { openSql, type SqlConnection } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { upgradeQueues } from "../../../src/db/pgq_2_1.ts";
import { pgq } from "../../../sql/pgq/mod.ts";
import { lendDatabases } from "../../harness/pair.ts";
import pgq21 from "../../flow/upgrade_londiste2/pgq_2_1.sql" with { type: "text" };

/** Without the order of columns: new ones stand last. */
const SHAPE = `
  select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' '
         || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || case when a.attnotnull then ' not null' else '' end as line
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where c.relnamespace = 'pgq'::regnamespace and c.relkind in ('r', 'S')
  union all
  select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    from pg_constraint where connamespace = 'pgq'::regnamespace
  union all
  select indexdef from pg_indexes where schemaname = 'pgq'
  union all
  select p.oid::regprocedure || ' ' || pg_get_function_result(p.oid) || ' ' || p.prosecdef || ' ' || md5(p.prosrc)
    from pg_proc p where p.pronamespace = 'pgq'::regnamespace and p.oid::regprocedure::text not in
         ('pgq.logtriga()', 'pgq.event_failed(bigint,bigint,text)', 'pgq.ticker(text,bigint)')
  order by 1`;

async function shape(db: SqlConnection): Promise<string[]> {
  return (await db.query<{ line: string }>(SHAPE)).map((row) => row.line);
}

describe("upgradeQueues() of PgQ 2.1", () => {
  it("makes what a fresh installation has, with queues, positions, retried and failed events", async () => {
    const [fresh, , old] = await lendDatabases(3);
    await using a = await openSql(parseTarget(fresh.dsn()));
    await using b = await openSql(parseTarget(old.dsn()));
    await installSchemas(a, { log: silentLog });
    await a.query("select pgq.create_queue('q')");
    await old.sql(`${pgq21}
      select pgq.create_queue('q');
      select pgq.register_consumer('q', 'c')`);
    await old.sql("select pgq.insert_event('q', 'x', 'one'), pgq.insert_event('q', 'x', 'two')");
    await old.sql("select pgq.ticker('q', nextval('pgq.event_1_tick_seq'))");
    await old.sql(`
      insert into pgq.retry_queue (ev_retry_after, ev_owner, ev_id, ev_time, ev_type, ev_data)
      select now(), sub_id, 77, now(), 'x', 'again' from pgq.subscription;
      insert into pgq.failed_queue (ev_failed_reason, ev_failed_time, ev_owner, ev_id, ev_time, ev_type)
      select 'bad', now(), sub_id, 78, now(), 'x' from pgq.subscription`);

    const report = await upgradeQueues(b, silentLog);
    expect(report.schemas.map(({ name, state }) => `${name} ${state}`)).toEqual([
      "pgq updated",
      "pgq_coop installed",
      "pgq_ext installed",
      "pgq_node installed",
      "londiste installed",
      "skyq installed",
    ]);
    const ofB = await shape(b);
    expect(ofB.filter((line) => !/ret_/.test(line))).toEqual(await shape(a));
    expect(pgq.migrations.length).toBeGreaterThan(0);

    const [{ batch }] = await b.query("select pgq.next_batch('q', 'c') as batch") as [{ batch: bigint }];
    expect((await b.query("select ev_data from pgq.get_batch_events($1)", [batch])).map((row) => row.ev_data)).toEqual([
      "one",
      "two",
    ]);
    await b.query("select pgq.event_failed($1, ev_id, 'worse') from pgq.get_batch_events($1) where ev_data = 'one'", [
      batch,
    ]);
    await b.query("select pgq.finish_batch($1)", [batch]);
    expect((await b.query("select pgq.maint_retry_events() as n"))[0]!.n).toBe(1);
    // The old ticker calls with an id of its own.
    await b.query("select pgq.force_tick('q')");
    await b.query("select pgq.ticker('q', 1000)");
    const [again] = await b.query("select pgq.next_batch('q', 'c') as batch") as [{ batch: bigint }];
    const events = await b.query("select ev_data, ev_retry from pgq.get_batch_events($1)", [again.batch]);
    expect(events).toEqual([{ ev_data: "again", ev_retry: null }]);
    const failed = await b.query("select ev_id, reason from skyq.failed_event order by ev_id desc");
    expect(failed.map((row) => row.reason)).toEqual(["bad", "worse"]);
    // Once more there is nothing left to do.
    expect((await upgradeQueues(b, silentLog)).schemas.every(({ state }) => state === "updated")).toBe(true);
  });
});
