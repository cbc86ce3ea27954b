/** A table logged by its generated function makes the same events as one logged by pgq.logutriga, and both the golden ones. */
import { describe, expect, it } from "vitest";
import vectors from "../../vectors/logutriga.json" with { type: "json" };
import { pair } from "../../harness/pair.ts";
import { type Event, useDatabase } from "./database.ts";

interface Case {
  name: string;
  function: string;
  table_ddl: string;
  trigger_ddl: string;
  statements: string[];
  events: { ev_type: string; ev_data: string; ev_extra1: string; ev_extra2: string | null }[];
  upstream_defect?: boolean;
}

/** Cases where the observed original refuses a change of the key, which we log; compared with pgq.logutriga only. */
const LOGS_KEY_CHANGE = [
  "pk_update_rejected",
  "pk_update_rejected_composite",
  "pk_update_rollback_keeps_others",
  "pkey_arg_update_key_fails",
  "pkey_arg_overrides_real_pk",
  "pkey_arg_with_space",
  "pkey_arg_prefix_name",
  "backup_pk_protect",
];

/** Cases that show how the original's events depend on the writer's settings; ours do not. */
const CHANGES_SETTINGS = ["type_datestyle_dependence"];

/** The server that a case needs, where its statements are newer than the oldest supported one. */
const MAJOR_MIN: Record<string, number> = { merge_statement: 15, type_ranges: 14, type_numeric: 14 };

const CLEAN = `
  reset all; set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres';
  set bytea_output = 'hex'; set extra_float_digits = 1; set standard_conforming_strings = on;
  set lc_monetary = 'C'; set xmlbinary = 'base64';
  drop schema public cascade; create schema public; grant all on schema public to public;
  drop schema if exists app cascade; drop schema if exists "My Schema" cascade;
  select pgq.drop_queue(queue_name, true) from pgq.queue;
  select pgq.create_queue('vq')`;

const { provider } = await pair();
const database = useDatabase();

/** Triggers that ask for nothing but what a generated function does. */
const PLAIN_TRIGGER =
  /^CREATE TRIGGER \w+ AFTER INSERT OR UPDATE OR DELETE ON .+ FOR EACH ROW EXECUTE FUNCTION /.source +
  /pgq\.logutriga\('vq'(, '(ignore=[^']*|pkey=[^']*|backup|deny)')*\)(;\nALTER .*)?$/.source;

/** Tables that need the generic trigger all the same. */
const NEEDS_GENERIC = [
  "magic_columns",
  "magic_null_clears",
  "magic_data_column",
  "magic_unknown_fails",
  "partitioned_table",
  "partition_move_row",
];

/** Makes the trigger of a case a capture, under the same name. @returns whether the table allowed it */
async function capture(): Promise<boolean> {
  const { sql } = database.current;
  const [trigger] = await sql<{ table: string; quoted: string; name: string; enabled: string; args: string[] }[]>`
    select n.nspname || '.' || c.relname as table, format('%I.%I', n.nspname, c.relname) as quoted,
           quote_ident(t.tgname) as name, t.tgenabled::text as enabled, skyq._trigger_args(t.tgargs) as args
      from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
     where t.tgfoid = to_regproc('pgq.logutriga') and t.tgparentid = 0`;
  const { table, quoted, name, enabled, args } = trigger!;
  const [created] = await sql`select skyq.create_capture('vq', ${table}, ${args.slice(1)}) as mode`;
  if (created!.mode === null) return false;
  await sql.unsafe(`
    drop trigger _londiste_vq_truncate on ${quoted};
    alter trigger _londiste_vq on ${quoted} rename to ${name};
    ${enabled === "A" ? `alter table ${quoted} enable always trigger ${name}` : ""}`);
  return true;
}

/** @returns events, and the errors' messages by statement */
async function run(vector: Case, isCapture: boolean): Promise<{ events: Event[]; errors: string[] }> {
  const { sql } = database.current;
  await sql.unsafe(CLEAN);
  await sql.unsafe(vector.table_ddl);
  await sql.unsafe(vector.trigger_ddl);
  if (isCapture) expect(await capture()).toBe(true);
  const errors: string[] = [];
  for (const [index, text] of vector.statements.entries()) {
    try {
      await sql.unsafe(text);
    } catch (error) {
      errors.push(`${index}: ${(error as Error).message}`);
      await sql.unsafe("rollback");
    }
  }
  await sql.unsafe("reset session_replication_role; reset datestyle; reset timezone");
  return { events: await database.current.events(), errors };
}

const cases = (vectors as unknown as Case[]).filter((vector) => new RegExp(PLAIN_TRIGGER).test(vector.trigger_ddl));

describe("skyq.create_capture() logs the golden events:", () => {
  for (const vector of cases) {
    const skipped = provider.major < (MAJOR_MIN[vector.name] ?? 0);
    if (NEEDS_GENERIC.includes(vector.name)) {
      it(`${vector.name}: left to pgq.logutriga`, async () => {
        const { sql } = database.current;
        await sql.unsafe(CLEAN);
        await sql.unsafe(vector.table_ddl);
        await sql.unsafe(vector.trigger_ddl);
        expect(await capture()).toBe(false);
        expect(await database.current.rows("select * from skyq.capture where table_oid = 't'::regclass")).toEqual([]);
      });
      continue;
    }
    it.skipIf(skipped)(vector.name, async () => {
      const generated = await run(vector, true);
      if (![...LOGS_KEY_CHANGE, ...CHANGES_SETTINGS].includes(vector.name) && !vector.upstream_defect) {
        expect(generated.events).toEqual(vector.events.map((event) => ({
          type: event.ev_type,
          data: event.ev_data,
          table: event.ev_extra1,
          backup: event.ev_extra2,
        })));
      }
      const isPinned = CHANGES_SETTINGS.includes(vector.name);
      if (isPinned) await database.current.pinLogutriga(true);
      const generic = await run(vector, false);
      if (isPinned) await database.current.pinLogutriga(false);
      expect(generated).toEqual(generic);
    });
  }

  it("all cases of the file that it should", () => {
    expect(cases.length).toBeGreaterThan(95);
  });
});
