/** A pair of databases as Londiste 2.1 leaves them. */
import { expect } from "vitest";
import type { LentDatabase } from "../../harness/pair.ts";
import { gateSql } from "../gate.ts";
import type { Job } from "../job.ts";
import londiste21 from "./londiste_2_1.sql" with { type: "text" };
import pgq21 from "./pgq_2_1.sql" with { type: "text" };

export const TABLES = ["synced", "child", "fresh", "meeting", "narrow"];
const SCHEMA = TABLES.map((name) => `create table ${name} (id serial primary key, v text, n int);`).join("\n") +
  "alter table child add column parent int references meeting (id);";
const FILL = TABLES.map((name) => `insert into ${name} (v) select '${name} ' || i from generate_series(1, 300) i;`)
  .join("\n");
/** `narrow` is logged without its column n. */
const KINDS: Record<string, string> = { child: "kvvv", narrow: "kv" };

export function change(n: number): string {
  return TABLES.map((name) =>
    `insert into ${name} (v${name === "narrow" ? "" : ", n"}) values (E'tab\\t\\\\%&='' ' || ${n}${
      name === "narrow" ? "" : `, ${n}`
    }); update ${name} set v = 'u' || ${n} where id = ${1 + n % 250}; delete from ${name} where id = ${250 + n % 40};`
  ).join(" ") + (n % 10 === 0 ? " update child set parent = id where id = 1;" : "");
}

export interface Pair {
  readonly provider: LentDatabase;
  readonly subscriber: LentDatabase;
}

/** Where the extension is there: functions of PgQ 3.5 under Londiste 2.1, as after its own upgrade. */
export const PGQ_35 = "create extension pgq; create function pgq.logtriga() returns trigger language c " +
  "as '$libdir/pgq_triggers', 'pgq_logtriga';";

/** A role that owns all it needs, and may do little else. */
export const PLAIN_ROLE = "skyq_upgrader";

/** Lets the plain role of a database make and own what follows. */
export async function allowPlainRole(database: LentDatabase): Promise<void> {
  await database.sql(`
    do $$ begin create role ${PLAIN_ROLE} login; exception when duplicate_object or unique_violation then null; end $$;
    grant create on database ${database.name} to ${PLAIN_ROLE};
    grant create on schema public to ${PLAIN_ROLE};
    do $$ begin
      if current_setting('server_version_num')::int >= 150000 then
        execute 'grant set on parameter session_replication_role to ${PLAIN_ROLE}';
      end if;
    end $$`);
}

/**
 * @param pgq the SQL that makes schema pgq, that of 2.1 when not given
 * @param role who owns all of it
 */
export async function makeProvider(
  provider: LentDatabase,
  consumers: readonly string[],
  { pgq = pgq21, role = "postgres" }: { pgq?: string; role?: string } = {},
): Promise<void> {
  await provider.sql(`set role ${role}; ${SCHEMA} ${pgq} ${londiste21} ${FILL}
    select pgq.create_queue('q');
    update pgq.queue set queue_ticker_max_lag = '0.3 s', queue_ticker_idle_period = '1 s';
    ${
    TABLES.map((name) => `select londiste.provider_add_table('q', 'public.${name}', '${KINDS[name] ?? "kvv"}');`).join(
      "",
    )
  }
    insert into londiste.provider_seq (queue_name, seq_name) values ('q', 'public.synced_id_seq')`);
  if (pgq !== pgq21) await provider.sql("select pgq.ticker()");
  for (const consumer of consumers) await provider.sql(`select pgq.register_consumer('q', '${consumer}')`);
}

export async function makeSubscriber(subscriber: LentDatabase, role = "postgres"): Promise<void> {
  await subscriber.sql(`set role ${role}; ${SCHEMA} ${londiste21}
    create function public.mark() returns trigger language plpgsql as 'begin return new; end';
    insert into londiste.subscriber_seq (queue_name, seq_name) values ('q', 'public.synced_id_seq');
    alter table child drop constraint child_parent_fkey;
    insert into londiste.subscriber_pending_fkeys values ('public.child', 'public.meeting', 'child_parent_fkey',
      'alter table only public.child add constraint child_parent_fkey FOREIGN KEY (parent) REFERENCES meeting(id)');
    insert into londiste.subscriber_pending_triggers values ('public.child', 'mark',
      'CREATE TRIGGER mark BEFORE INSERT ON public.child FOR EACH ROW EXECUTE FUNCTION mark()')`);
}

/** The first copy of Londiste, all in one: rows and the snapshot that shows them; its consumer is registered before. */
export async function copyTable({ provider, subscriber }: Pair, table: string, state: string): Promise<void> {
  const text = await provider.sql(
    `select txid_current_snapshot()::text || E'\\x01' ||
            coalesce(string_agg(format('insert into ${table} (id, v, n) values (%L, %L, %L);', id, v, n), ' '), '')
       from ${table}`,
  );
  const [snapshot, rows] = text.trim().split("\x01");
  await subscriber.sql(`begin; ${rows}
    update londiste.subscriber_table set merge_state = '${state}', snapshot = '${snapshot}'
     where table_name = 'public.${table}';
    commit`);
}

export async function register({ subscriber }: Pair, ...tables: string[]): Promise<void> {
  for (const table of tables) {
    await subscriber.sql(
      `insert into londiste.subscriber_table (queue_name, table_name) values ('q', 'public.${table}')`,
    );
  }
}

/**
 * Stops the provider's transaction at its commit, when the subscriber's is done.
 * @param change of consumers by which that transaction is known
 */
export function commitGate(change: "insert or update" | "delete"): string {
  return gateSql({ name: "unused", table: "pgq.queue", condition: "false" }) +
    `create constraint trigger "gate commit" after ${change} on pgq.subscription
       deferrable initially deferred for each row execute function public.pass_gate('commit');
     grant select on public.gate to public`;
}

export async function triggersOf(db: LentDatabase, table: string): Promise<string[]> {
  return (await db.sql(
    `select p.pronamespace::regnamespace || '.' || case when p.proname like 'capture%' then 'capture' else p.proname end
       from pg_trigger t join pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = '${table}'::regclass and not t.tgisinternal order by 1`,
  )).trim().split("\n");
}

export async function schemas(db: LentDatabase): Promise<string> {
  return await db.sql(`select string_agg(nspname, ' ' order by nspname) from pg_namespace
    where nspname !~ '^pg_' and nspname <> 'information_schema'`);
}

export async function copied(job: Job): Promise<string[]> {
  return (await job.subscriber.sql("select table_name from skyq.copy_state where started_at is not null order by 1"))
    .trim().split("\n").filter((line) => line !== "");
}

/** Compares all tables; of `narrow` not the column that is not logged. */
export async function equal(pair: Pair, ...except: string[]): Promise<void> {
  for (const table of TABLES.filter((name) => !except.includes(name))) {
    const text = `select count(*), md5(string_agg(t::text, ',' order by id)) from (select id, v${
      table === "narrow" ? "" : ", n"
    } from ${table}) t`;
    expect([table, await pair.subscriber.sql(text)]).toEqual([table, await pair.provider.sql(text)]);
  }
}
