/** The schemas side by side with those of the original extensions, where these are installed. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { QueueDatabase } from "./database.ts";

/** Names that begin with an underscore are ours, but for one. */
const THEIRS = "(p.proname not like '\\_%' or p.proname = '_grant_perms_from')";

/** What others rely on: one line per fact. */
const FACTS: Record<string, string> = {
  functions: `
    select p.oid::regprocedure || ' ' || pg_get_function_arguments(p.oid) || ' -> ' || pg_get_function_result(p.oid) || ' '
           || p.provolatile::text || case when p.proisstrict then ' strict' else '' end || case when p.prosecdef then ' definer' else '' end
      from pg_proc p where p.pronamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and ${THEIRS}`,
  grants: `
    select o.name || ' ' || coalesce(r.rolname, 'public') || ' ' || a.privilege_type
      from (select p.oid::regprocedure::text as name, coalesce(p.proacl, acldefault('f', p.proowner)) as acl, p.proowner as owner
              from pg_proc p where p.pronamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and ${THEIRS}
            union all
            select c.oid::regclass::text, coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner)),
                   c.relowner
              from pg_class c
             where c.relnamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and c.relkind in ('r', 'S')
            union all
            select 'schema ' || n.nspname, n.nspacl, n.nspowner from pg_namespace n where n.nspname in ('pgq', 'pgq_node')) o
     cross join aclexplode(o.acl) a
      left join pg_roles r on r.oid = a.grantee
     where a.grantee <> o.owner`,
  columns: `
    select a.attrelid::regclass || ' ' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || case when a.attnotnull then ' not null' else '' end || coalesce(' ' || pg_get_expr(d.adbin, d.adrelid), '')
      from pg_attribute a
      join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where c.relnamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and a.attnum > 0`,
  constraints: `
    select k.conrelid::regclass || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid) from pg_constraint k
     where k.connamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and k.contype <> 'n'
       and k.conname <> 'subscription_batch_idx'`,
  indexes: `
    select pg_get_indexdef(c.oid) || coalesce(' ' || t.reloptions::text, '')
      from pg_class c
      join pg_index i on i.indexrelid = c.oid
      join pg_class t on t.oid = i.indrelid
     where c.relnamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and c.relname <> 'subscription_batch_idx'`,
  sequences: `
    select s.seqrelid::regclass || ' ' || s.seqtypid::regtype || ' ' || s.seqstart || ' ' || s.seqmin || ' ' || s.seqmax
      from pg_sequence s join pg_class c on c.oid = s.seqrelid
     where c.relnamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace)`,
};

const [theirs, ours] = await lendDatabases(2);
const isInstalled = await theirs.sql("create extension pgq; create extension pgq_node").then(() => true, () => false);

describe.skipIf(!isInstalled)("beside the original extensions (skipped where they are not installed) there are", () => {
  let queues: QueueDatabase;
  beforeAll(async () => {
    queues = await QueueDatabase.create(ours);
    for (const database of [theirs, ours]) await database.sql("select pgq.create_queue('q')");
  });
  afterAll(() => queues.close());

  for (const [name, sql] of Object.entries(FACTS)) {
    it(`the same ${name}`, async () => {
      const sorted = `select x.line from (${sql}) x (line) order by x.line collate "C"`;
      const lines = (await theirs.sql(sorted)).split("\n");
      expect(lines.length).toBeGreaterThan(3);
      expect((await ours.sql(sorted)).split("\n")).toEqual(lines);
    });
  }

  it("the same answers to calls with nothing but NULL", async () => {
    const calls = await theirs.sql(`
      select format('select * from %s(%s)', p.oid::regproc, (
               select string_agg('null::' || t::regtype, ', ' order by a.nr)
                 from unnest(p.proargtypes) with ordinality a (t, nr)))
        from pg_proc p
       where p.pronamespace in ('pgq'::regnamespace, 'pgq_node'::regnamespace) and p.pronargs > 0
         and p.proname <> 'get_queue_info'      -- answers with times
       order by 1`);
    const differing: string[] = [];
    for (const call of calls.split("\n")) {
      const [wanted, got] = await Promise.all([theirs, ours].map((database) => database.sql(call).catch(errorText)));
      if (got !== wanted) differing.push(`${call}: ${got} instead of ${wanted}`);
    }
    expect(differing).toEqual([]);
  });
});

function errorText(error: Error): string {
  return /ERROR: .*/.exec(error.message)?.[0] ?? error.message;
}
