import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QueueDatabase } from "./database.ts";

/** Who may run what, beside the owner. */
const FUNCTIONS: Record<string, Record<string, string>> = {
  pgq: {
    PUBLIC: `seq_getval/1 get_queue_info/0 get_queue_info/1 get_consumer_info/0 get_consumer_info/1
      get_consumer_info/2 quote_fqname/1 version/0`,
    pgq_reader: `batch_event_sql/1 batch_event_tables/1 find_tick_helper/6 register_consumer/2 register_consumer_at/3
      unregister_consumer/2 next_batch/2 next_batch_info/2 next_batch_custom/5 get_batch_events/1 get_batch_info/1
      get_batch_cursor/3 get_batch_cursor/4 event_retry/3 event_retry/3 batch_retry/2 force_tick/1 finish_batch/1
      _open_batch/1`,
    pgq_writer: "insert_event/3 insert_event/7 current_event_table/1 jsontriga/0 sqltriga/0 logutriga/0",
    pgq_admin: `ticker/0 ticker/1 ticker/4 maint_operations/0 maint_rotate_tables_step1/1 maint_rotate_tables_step2/0
      maint_retry_events/0 maint_tables_to_vacuum/0 upgrade_schema/0 grant_perms/1 _grant_perms_from/4 tune_storage/1
      seq_setval/2 create_queue/1 drop_queue/1 drop_queue/2 set_queue_config/3 insert_event_raw/11 event_retry_raw/12
      _next_tick/2`,
  },
  pgq_node: {
    PUBLIC: "is_root_node/1 is_leaf_node/1 version/0",
    "pgq_admin pgq_reader pgq_writer": `get_consumer_info/1 get_consumer_state/2 get_queue_locations/1 get_node_info/1
      get_subscriber_info/1 register_subscriber/4 unregister_subscriber/2 set_subscriber_watermark/3`,
    "pgq_admin pgq_writer": `register_consumer/4 unregister_consumer/2 change_consumer_provider/3
      set_consumer_uptodate/3 set_consumer_paused/3 set_consumer_completed/3 set_consumer_error/3`,
    pgq_admin: `register_location/4 unregister_location/2 create_node/7 drop_node/2 get_worker_state/1 set_node_attrs/2
      set_global_watermark/2 set_partition_watermark/3 demote_root/3 promote_branch/1 maint_watermark/1
      upgrade_schema/0 _node_type/1 _local_watermark/1`,
  },
};

const TABLES: Record<string, string[]> = {
  "pgq.consumer": ["PUBLIC r", "pgq_admin arwd", "pgq_reader r"],
  "pgq.queue": ["PUBLIC r", "pgq_admin arwd", "pgq_reader r"],
  "pgq.tick": ["PUBLIC r", "pgq_admin arwd", "pgq_reader r"],
  "pgq.subscription": ["PUBLIC r", "pgq_admin arwd", "pgq_reader r"],
  "pgq.retry_queue": ["pgq_admin arwd"],
  "pgq.event_template": ["pgq_admin arD", "pgq_reader r"],
  "pgq.event_1": ["pgq_admin arD", "pgq_reader r"],
  "pgq.event_1_0": ["pgq_admin arD", "pgq_reader r"],
  "pgq.event_1_1": ["pgq_admin arD", "pgq_reader r"],
  "pgq.event_1_2": ["pgq_admin arD", "pgq_reader r"],
  "pgq.event_1_id_seq": ["PUBLIC r", "pgq_admin U"],
  "pgq.event_1_tick_seq": ["PUBLIC r"],
  "pgq.batch_id_seq": [],
  "pgq.queue_queue_id_seq": [],
  "pgq.consumer_co_id_seq": [],
  "pgq.subscription_sub_id_seq": [],
  "pgq_node.node_location": ["pgq_admin arwd", "pgq_reader r", "pgq_writer r"],
  "pgq_node.node_info": ["pgq_admin arwd", "pgq_reader r", "pgq_writer r"],
  "pgq_node.local_state": ["pgq_admin arwd", "pgq_reader r", "pgq_writer r"],
  "pgq_node.subscriber_info": ["pgq_admin arwd", "pgq_reader r", "pgq_writer r"],
};

/** `ROLE letters` of an ACL's entries, the owner's left out. */
const GRANTEES = `
  select coalesce(array_agg(case when split_part(a.item, '=', 1) = '' then 'PUBLIC' else split_part(a.item, '=', 1) end
                            || ' ' || split_part(split_part(a.item, '=', 2), '/', 1)), '{}')
    from (select item::text from unnest(%ACL%) item) a where split_part(a.item, '=', 1) <> 'postgres'`;

describe("grants", () => {
  let db: QueueDatabase;
  beforeAll(async () => {
    db = await QueueDatabase.create();
    await db.rows("setup", "select pgq.create_queue('q')");
    for (const role of ["reader", "writer", "admin", "nobody"]) {
      await db.rows("setup", `drop role if exists skyq_grants_${role}`);
      await db.rows("setup", `create role skyq_grants_${role} login`);
      if (role !== "nobody") await db.rows("setup", `grant pgq_${role} to skyq_grants_${role}`);
    }
  });
  afterAll(async () => {
    for (const role of ["reader", "writer", "admin", "nobody"]) {
      await db.rows("setup", `drop role if exists skyq_grants_${role}`);
    }
    await db.close();
  });

  for (const [schema, wanted] of Object.entries(FUNCTIONS)) {
    it(`functions of ${schema} are for those who are listed`, async () => {
      const expected = Object.entries(wanted).flatMap(([roles, names]) =>
        names.trim().split(/\s+/).map((name) => `${name} ${roles}`)
      );
      const rows = await db.rows(
        "setup",
        `select p.proname || '/' || p.pronargs || ' ' || array_to_string(array(
                  select case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end
                    from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                   where a.grantee <> p.proowner order by 1), ' ')
           from pg_proc p
          where p.pronamespace = '${schema}'::regnamespace
            -- Helpers of the trigger functions, which any role that writes a table has to run.
            and (p.proname !~ '^_'
                 or p.proname in ('_grant_perms_from', '_next_tick', '_open_batch', '_node_type', '_local_watermark'))`,
      );
      expect(rows.flat().toSorted()).toEqual(expected.toSorted());
    });
  }

  it("tables and sequences are for those who are listed", async () => {
    const found = await db.rows(
      "setup",
      `select c.oid::regclass::text, (${GRANTEES.replace("%ACL%", "c.relacl")})
         from pg_class c
        where c.relnamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and c.relkind in ('r', 'S')`,
    );
    const grants = Object.fromEntries(found.map(([table, list]) => [table, (list as string[]).toSorted()]));
    expect(grants).toEqual(TABLES);
  });

  it("pgq_admin has the rights of reader and writer", async () => {
    const members = await db.value(
      "setup",
      "select pg_has_role('pgq_admin', 'pgq_reader', 'MEMBER') and pg_has_role('pgq_admin', 'pgq_writer', 'MEMBER')",
    );
    expect(members).toBe(true);
  });

  it("each role can do its work and no more", async () => {
    const as = (role: string, sql: string) => db.value(role, sql);
    const denied = (role: string, sql: string) => db.error(role, sql);
    for (const role of ["reader", "writer", "admin", "nobody"]) await db.session(role, `skyq_grants_${role}`);

    await db.rows("setup", "update pgq.queue set queue_ticker_max_lag = '0', queue_ticker_idle_period = '0'");
    expect(await as("reader", "select pgq.register_consumer('q', 'c')")).toBe(1);
    expect(await as("writer", "select pgq.insert_event('q', 't', 'd')")).toBe(1);
    expect(await denied("reader", "select pgq.insert_event('q', 't', 'd')")).toMatch(/^permission denied for function/);
    expect(await denied("nobody", "select pgq.insert_event('q', 't', 'd')")).toMatch(/^permission denied for function/);
    expect(await as("admin", "select pgq.insert_event_raw('q', null, null, null, null, 't', 'raw', '', '', '', '')"))
      .toBe(2);
    const table = await as("admin", "select pgq.current_event_table('q')");
    await db.rows("admin", `insert into ${table} (ev_time, ev_data) values (now(), 'bulk')`);
    expect(await denied("writer", "select pgq.ticker('q')")).toMatch(/^permission denied for function/);
    expect(await as("admin", "select pgq.ticker('q')")).toBe(2);
    expect(await as("reader", "select pgq.next_batch('q', 'c')")).toBe(1);
    expect(await db.rows("reader", "select ev_data from pgq.get_batch_events(1)")).toEqual([["d"], ["raw"], ["bulk"]]);
    expect(await as("reader", "select pgq.event_retry(1, 1, 0)")).toBe(1);
    expect(await as("reader", "select pgq.finish_batch(1)")).toBe(1);
    expect(await as("admin", "select pgq.maint_retry_events()")).toBe(1);
    expect(await as("nobody", "select ev_new from pgq.get_queue_info('q')")).toBe(1);
    expect(await as("nobody", "select consumer_name from pgq.get_consumer_info('q')")).toBe("c");
    expect(await denied("nobody", "select * from pgq.event_template")).toMatch(/^permission denied for table/);
    await db.rows("setup", "update pgq.queue set queue_rotation_period = '0'");
    await db.rows("setup", "select pgq.unregister_consumer('q', 'c')");
    expect(await as("admin", "select pgq.maint_rotate_tables_step1('q')")).toBe(0);
    expect(await as("admin", "select pgq.maint_rotate_tables_step2()")).toBe(0);
    expect(await as("admin", "select queue_cur_table from pgq.queue")).toBe(1);
    expect(await as("admin", "select pgq.create_queue('by admin')")).toBe(1);
    expect(await as("admin", "select pgq.drop_queue('by admin')")).toBe(1);
  });

  it("a function that runs as owner is not led astray by the caller's search_path", async () => {
    const loose = await db.rows(
      "setup",
      `select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and p.prosecdef
          and not coalesce(p.proconfig, '{}') && array['search_path=pg_catalog, pg_temp']`,
    );
    expect(loose).toEqual([]);
  });
});
