/**
 * What Londiste 3 was seen to do, done by skyq: the events and both sides' contents have to be the same. The command
 * lines are the originals'; where skyq has other words they are put into those.
 */
import postgres from "postgres";
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const VECTORS = new URL("../../vectors/replay/", import.meta.url);

interface QueueEvent {
  ev_type: string;
  ev_data: string;
  ev_extra1: string | null;
  ev_extra2: string | null;
  ev_extra3: string | null;
  ev_extra4: string | null;
}

interface Contents {
  columns: string[];
  rows: (string | null)[][];
}

interface CommandLine {
  node: "provider" | "subscriber";
  args: string[];
  exit: number;
}

interface Vector {
  name: string;
  provider_schema: string[];
  subscriber_schema: string[] | "same as provider_schema";
  prefill?: string[];
  subscriber_prefill?: string[];
  commands?: CommandLine[];
  registration_events?: QueueEvent[];
  statements: (string | { cli: [CommandLine["node"], ...string[]] })[];
  statement_errors?: [string, string][];
  events: QueueEvent[];
  provider_final: Record<string, Contents>;
  subscriber_final: Record<string, Contents>;
  scripts?: Record<string, string>;
}

function load<V = Vector>(name: string): V {
  return JSON.parse(Deno.readTextFileSync(new URL(`${name}.json`, VECTORS)));
}

/**
 * The originals refuse an update of a key, and the application's statement with it. skyq logs the delete of the old row
 * and the insert of the new one: what it has to come to then.
 */
const KEY_UPDATES: Record<string, (vector: Vector) => void> = {
  "01_simple_dml": (vector) => {
    vector.events.splice(8, 0, rowEvent("D", "id=3&name&qty&ok&at&n"), rowEvent("I", "id=30&name&qty&ok&at&n"));
    vector.events[8]!.ev_type = "D:id";
    for (const side of [vector.provider_final, vector.subscriber_final]) {
      const rows = side.v01!.rows;
      const [moved] = rows.splice(1, 1);
      rows.splice(2, 0, ["30", ...moved!.slice(1)]);
    }
    function rowEvent(op: string, data: string): QueueEvent {
      return { ...vector.events[0]!, ev_type: `${op}:id`, ev_data: data };
    }
  },
  "02_nulls_and_special_bytes": (vector) => {
    const inserted = vector.events[2]!;
    vector.events.push(
      { ...inserted, ev_type: "D:Key One" },
      { ...inserted, ev_data: inserted.ev_data.replace("Key+One=3", "Key+One=-3") },
    );
    for (const side of [vector.provider_final, vector.subscriber_final]) {
      const { rows } = Object.values(side)[0]!;
      rows.unshift(["-3", ...rows.pop()!.slice(1)]);
    }
  },
};

let job: Job;
let provider: LentDatabase;
let subscriber: LentDatabase;

const events = async (after: string, until = "9223372036854775807"): Promise<QueueEvent[]> =>
  JSON.parse(
    await provider.sql(`select coalesce(json_agg(json_build_object('ev_type', ev_type, 'ev_data', ev_data,
         'ev_extra1', ev_extra1, 'ev_extra2', ev_extra2, 'ev_extra3', ev_extra3, 'ev_extra4', ev_extra4)
         order by ev_id), '[]')
      from pgq.event_1 where ev_id > ${after} and ev_id <= ${until} and ev_type not like 'pgq.%'`),
  );

const lastEvent = async () => (await provider.sql("select coalesce(max(ev_id), 0) from pgq.event_1")).trim();

async function contents(db: LentDatabase, table: string, { columns }: Contents): Promise<Contents> {
  const all = `(select array_agg(attname::text order by attnum) from pg_attribute
    where attrelid = '${table.replaceAll("'", "''")}'::regclass and attnum > 0 and not attisdropped)`;
  const row = columns.map((name) => `t."${name}"::text`).join(", ");
  return JSON.parse(
    await db.sql(`select json_build_object('columns', ${all},
      'rows', (select coalesce(json_agg(json_build_array(${row}) order by t."${columns[0]}"), '[]') from ${table} t))`),
  );
}

/** Runs a command line of the originals. @returns its status */
async function command(node: CommandLine["node"], args: readonly string[]): Promise<number> {
  const [word, ...rest] = args;
  const names = rest.filter((arg) => !arg.startsWith("--"));
  const flags = rest.filter((arg) => arg.startsWith("--"));
  const value = (flag: string) =>
    flags.filter((arg) => arg.startsWith(`--${flag}=`)).map((arg) => arg.slice(flag.length + 3));
  const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
  const run = async (...words: string[]) => (await job.try(...words)).code;
  switch (word) {
    case "add-table": {
      const triggerArgs = [...value("trigger-flags").map((chars) => `tgflags=${chars}`), ...value("trigger-arg")];
      const dest = value("dest-table")[0];
      if (triggerArgs.length === 0 && dest === undefined) {
        // A column that the subscriber lacks is an error of skyq's check; with --force it is left out from then on.
        const force = node === "subscriber" && names[0] === "v14" ? ["--force"] : [];
        return await run(node, "add", "conf.ini", ...names, ...flags, ...force);
      }
      if (node === "subscriber") await job.finished(); // the function asks nobody: the table has to be known
      const db = node === "provider" ? provider : subscriber;
      const ret = await db.sql(
        `select ret_code, ret_note from londiste.local_add_table('${job.queue}', ${literal(names[0]!)},
        ${node === "subscriber" ? "array['no_triggers']" : `array[${triggerArgs.map(literal)}]`}, null, ${
          dest === undefined ? "null" : literal(dest)
        })`,
      );
      if (!ret.startsWith("2")) throw new Error(ret);
      return 0;
    }
    case "wait-sync":
      await job.allOk();
      return 0;
    case "remove-table":
      // Of a table that is not there skyq says so, and fails; the originals found nothing to do.
      return await run(node, "remove", "conf.ini", ...names) && 0;
    case "add-seq":
      return await run(node, "add-seq", "conf.ini", ...names);
    case "execute":
      // Which node it is follows from the config: on the subscriber there is no command that could be refused.
      return node === "provider" ? await run("execute", "conf.ini", ...names) : 1;
    case "tables":
    case "missing":
    case "resync":
      return await run(node, word, "conf.ini", ...names);
  }
  throw new Error(`No such command: ${args.join(" ")}`);
}

async function replayVector(vector: Vector): Promise<void> {
  for (const sql of vector.provider_schema) await provider.sql(sql);
  const schema = typeof vector.subscriber_schema === "string" ? vector.provider_schema : vector.subscriber_schema;
  for (const sql of schema) await subscriber.sql(sql);
  for (const sql of vector.prefill ?? []) await provider.sql(sql);
  for (const sql of vector.subscriber_prefill ?? []) await subscriber.sql(sql);
  for (const [name, sql] of Object.entries(vector.scripts ?? {})) Deno.writeTextFileSync(`${job.dir}/${name}`, sql);

  const during = vector.statements.filter((statement) => typeof statement !== "string").length;
  const commands = vector.commands!.slice(0, vector.commands!.length - during);
  const registrationBegin = await lastEvent();
  for (const { node, args, exit } of commands) expect([args, await command(node, args)]).toEqual([args, exit]);
  await job.caughtUp();
  expect(await events(registrationBegin)).toEqual(vector.registration_events);

  const begin = await lastEvent();
  const refused = new Set((vector.statement_errors ?? []).map(([sql]) => sql));
  for (const statement of vector.statements) {
    if (typeof statement === "string") {
      await provider.sql(statement);
      refused.delete(statement);
      continue;
    }
    const [node, ...args] = statement.cli;
    const { exit } = vector.commands!.find((line) => line.args.join(" ") === args.join(" ") && line.node === node)!;
    expect([args, await command(node, args)]).toEqual([args, exit]);
  }
  expect([...refused]).toEqual([]); // What the originals refuse works here.
  await waitFor(async () => (await events(begin)).length >= vector.events.length, { what: "all events" });
  expect(await events(begin)).toEqual(vector.events);
  await job.caughtUp();
  for (const [table, final] of Object.entries(vector.provider_final)) {
    expect(await contents(provider, table, final)).toEqual(final);
  }
  for (const [table, final] of Object.entries(vector.subscriber_final)) {
    expect(await contents(subscriber, table, final)).toEqual(final);
  }
}

describe("the replay vectors", () => {
  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    job = new Job({ provider, subscriber });
    await job.install();
    await subscriber.sql(`alter database "${subscriber.name}" set timezone = 'UTC'`);
    await provider.sql(`alter database "${provider.name}" set timezone = 'UTC'`);
    job.startReplay();
    return () => job[Symbol.asyncDispose]();
  });

  const names = [...Deno.readDirSync(VECTORS)].map(({ name }) => name.replace(/\.json$/, "")).sort();
  for (const name of names.filter((each) => !each.startsWith("15_"))) {
    it(name, async () => {
      const vector = load(name);
      KEY_UPDATES[name]?.(vector);
      await replayVector(vector);
      await AFTER[name]?.(vector);
    });
  }

  it("15_interleaved_transactions", async () => {
    const vector = load<Vector & { subscriber_mid: Contents }>("15_interleaved_transactions");
    await provider.sql(vector.provider_schema[0]!);
    await subscriber.sql(vector.provider_schema[0]!);
    await job.add("v15");
    await job.caughtUp();
    const begin = await lastEvent();
    await using a = session();
    await using b = session();
    const steps: Record<string, () => Promise<unknown>> = {
      tick: () => provider.sql(`select pgq.force_tick('${job.queue}'); select pgq.ticker('${job.queue}')`),
      "tick, replay": () => job.caughtUp(),
      "(check subscriber_mid)": async () =>
        expect(await contents(subscriber, "v15", vector.subscriber_mid)).toEqual(vector.subscriber_mid),
    };
    for (const statement of vector.statements as string[]) {
      const [, who, sql] = /^([AB]): (.*)$/s.exec(statement) ?? [];
      await (who === undefined ? steps[statement]!() : (who === "A" ? a : b).sql.unsafe(sql!));
    }
    expect(await events(begin)).toEqual(vector.events);
    expect(await contents(provider, "v15", vector.provider_final.v15!)).toEqual(vector.provider_final.v15);
    expect(await contents(subscriber, "v15", vector.subscriber_final.v15!)).toEqual(vector.subscriber_final.v15);
  });
});

/** One session of the application, in its own transaction. */
function session(): { sql: postgres.Sql } & AsyncDisposable {
  const { host, port, superuser: user } = provider.cluster;
  const sql = postgres({ host, port, user, database: provider.name, max: 1, onnotice: () => {} });
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 5 }) };
}

/** What some vectors tell besides: done and required after the rest. */
const AFTER: Record<string, (vector: Vector) => Promise<void>> = {
  "03_sequence": async () => {
    expect(await subscriber.sql("select last_value, is_called from v03_free")).toBe("90000|t");
    expect(await subscriber.sql("select last_value, is_called from v03_id_seq")).toBe("30001|t");
    expect(await provider.sql("select last_value from v03_free")).toBe("60000");
  },
  "05_execute_ddl": async () => {
    const applied = "select execute_file, execute_attrs from londiste.applied_execute order by execute_time";
    const files = "v05_ddl.sql|\nv05_attr.sql|local-table=v05&local-destination=v05\n" +
      "v05_skip.sql|need-table=public.no_such_table_v05";
    expect(await provider.sql(applied)).toBe(files);
    expect(await subscriber.sql(applied)).toBe(files);
    for (const db of [provider, subscriber]) expect(await db.sql("select to_regclass('v05_never')")).toBe("");
  },
  "06_remove_resync": async (vector) => {
    await subscriber.sql(
      "set session_replication_role = replica; delete from v06 where id=1; insert into v06 values (77,'junk')",
    );
    await job.run("subscriber", "resync", "conf.ini", "v06");
    await job.caughtUp();
    expect(await contents(subscriber, "v06", vector.subscriber_final.v06!)).toEqual(vector.subscriber_final.v06);
    const begin = await lastEvent();
    await job.run("provider", "remove", "conf.ini", "v06");
    await job.caughtUp();
    expect((await events(begin)).map((event) => [event.ev_type, event.ev_data])).toEqual([
      ["londiste.remove-table", "public.v06"],
    ]);
    expect(await contents(subscriber, "v06", vector.subscriber_final.v06!)).toEqual(vector.subscriber_final.v06);
    expect(await subscriber.sql("select 1 from londiste.table_info where table_name = 'public.v06'")).toBe("");
    expect(await provider.sql("select 1 from pg_trigger where tgrelid = 'v06'::regclass")).toBe("");
  },
  "14_column_difference": async () => {
    await provider.sql("insert into v14 values (2, 'b', 'p2'); update v14 set a = 'c', only_prov = 'x' where id = 1");
    await job.caughtUp();
    expect(await subscriber.sql("select * from v14 order by id")).toBe("1|c|dflt\n2|b|dflt");
    // One that is added later is no such thing: the table waits for it.
    await provider.sql("alter table v14 add later text; update v14 set later = 'l' where id = 2");
    await waitFor(() => /public\.v14 is paused, .*no column "later"/.test(job.log), { what: "v14 to be paused" });
    await subscriber.sql("alter table v14 add later text");
    await job.caughtUp();
    expect(await subscriber.sql("select * from v14 order by id")).toBe("1|c|dflt|\n2|b|dflt|l");
  },
  "13_foreign_keys": async () => {
    await waitFor(async () => (await subscriber.sql("select count(*) from londiste.pending_fkeys")) === "0", {
      what: "the foreign key to be there again",
    });
    expect(
      await subscriber.sql(
        "select conname, convalidated from pg_constraint where conrelid = 'v13c'::regclass and contype = 'f'",
      ),
    ).toBe("v13c_pid_fkey|t");
  },
};
