/** Random statements on random tables: what row, statement and generic capture log comes to the same. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Random, seeded } from "../../harness/seed.ts";
import { useDatabase } from "./database.ts";

const database = useDatabase();
const IS_LONG = Deno.env.get("SKYQ_LONG") === "1";
const SIZES = [1, 2, 15, 16, 17, 63, 64, 65, 66, 80, 81, 127, 128, 200];

/** Texts of every kind, as SQL literals; the first are easy ones. */
const TEXTS = [
  "'plain text'",
  "'a, b & c'",
  "'x@y.z: 1'",
  "''",
  ...[..."+%=\\\"';/?#[]{}~!$^*()<>|`,:@& "].map((sign) => `e'a${sign === "'" || sign === "\\" ? "\\" : ""}${sign}b'`),
  ...["\\x01", "\\n", "\\t", "\\r", "\\x7f", "\\\\000", "\\x02\\x01"].map((code) => `e'${code}z'`),
  "'é'",
  "'🦊 x'",
  "'%41+%2b'",
  "'a&b=c'",
  "' '",
  `'{"k": [1, "v"]}'`,
  "'<a b=\"c\">&amp;</a>'",
  "repeat('long, @ & é ', 9000)",
];

/** Column types and values of them; words get TEXTS. */
const TYPES: Record<string, readonly string[]> = {
  text: TEXTS,
  "varchar(200000)": TEXTS,
  "char(12)": ["'ab'", "'a b'", "'a?'", "''"],
  name: ["'n m'", "'é&'"],
  tag: ["'low'", "'a, b'", "'x&y=z'", "'ü'"],
  words: TEXTS.slice(0, 30),
  yes: ["true", "false"],
  bool: ["true", "false"],
  int: ["0", "-7", "2147483647"],
  numeric: ["0.10", "'NaN'", "1e30", "-0.000"],
  float8: ["'-0'", "'inf'", "1e300", "0.1", "'NaN'"],
  float4: ["'-inf'", "1e-30"],
  money: ["'1234.5'", "'-3'"],
  bytea: ["'\\x00ff26'", "''"],
  "bit(3)": ["b'101'"],
  "bit varying": ["b''", "b'1'"],
  date: ["'2026-02-01'", "'infinity'", "'0044-03-15 BC'"],
  time: ["'12:00:01.5'", "'24:00'"],
  timetz: ["'12:00+05:30'", "'01:02:03-08'"],
  timestamp: ["'2026-02-01 12:13:14.5'", "'-infinity'", "'0044-03-15 01:02:03 BC'"],
  timestamptz: ["'2026-02-01 12:13:14.5+05:30'", "'infinity'", "'0044-03-15 01:02:03+00 BC'"],
  interval: ["'1 year -2 days 03:04:05.6'", "'-1 day'", "'0'"],
  uuid: ["'12345678-1234-1234-1234-123456789abc'"],
  inet: ["'10.0.0.1/8'", "'::1'"],
  cidr: ["'10.0.0.0/8'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  int4range: ["'[1,5)'", "'empty'"],
  tstzrange: ["'[2026-01-01,2026-02-01)'"],
  "text[]": [`'{a,"b \\"c",NULL,""}'`, "'{}'"],
  "int[]": ["'{1,NULL}'"],
  pair: ["row(1, 'a b')", "row(null, null)", "row(2, '\"x')"],
  jsonb: [`'{"a b": "c&d", "é": null}'`],
  json: [`'{ "a" : 1 }'`],
  xml: ["'<a>b &amp; c</a>'"],
  tsvector: ["'a:1 ''b c'':2'"],
  point: ["'(1.5,-0)'"],
  box: ["'(1,1),(0,0)'"],
  path: ["'[(0,0),(1,1)]'"],
};

const NAMES = [
  "n",
  "o",
  "r",
  "e",
  "by",
  "capture",
  "v_easy",
  "ev_data",
  "new_rows",
  "TG_OP",
  "x.y",
  'a"b',
  "%s&=+",
  "$1",
]
  .concat([
    "it's",
    "ünï çödé",
    "a ".repeat(31) + "z",
    "é".repeat(31),
    "v_is_moved",
    "current_timestamp",
    "user",
    "\\b",
  ]);

interface Table {
  keys: string[];
  /** Quoted names of all columns and those that are no key's, and the types of all. */
  all: string[];
  others: string[];
  types: string[];
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** Makes tables w, captured in three ways, and src, with columns of the same names. */
async function makeTable(random: Random): Promise<Table> {
  const names = random.shuffle(NAMES);
  const count = random.pick([1, 2, 3, 5, 8, 12, 19]);
  const typed = Object.keys(TYPES);
  const columns = Array.from({ length: count }, (_, i) => ({
    name: quoted(names[i]!),
    type: random.chance(0.4) ? random.pick(["text", "varchar(200000)", "char(12)"]) : random.pick(typed),
    isNotNull: random.chance(0.3),
  }));
  const keyCount = random.pick([1, 1, 2]);
  const keys = Array.from({ length: keyCount }, (_, i) => quoted(i === 0 ? random.pick(["id", "k &"]) : "second"));
  const all = columns.map(({ name, type, isNotNull }) => ({
    name,
    type,
    definition: `${name} ${type}${isNotNull ? " not null" : ""}`,
  }));
  for (const key of keys) {
    const place = random.int(0, all.length);
    all.splice(place, 0, { name: key, type: "key", definition: `${key} int` });
  }
  const definitions = all.map(({ definition }) => definition);
  definitions.splice(random.int(0, definitions.length), 0, "dropped text");
  const generated = random.chance(0.2) ? [`made text generated always as ('a, b&' || ${keys[0]}::text) stored`] : [];
  await database.current.sql.unsafe(`
    drop view if exists v; drop table if exists w, src;
    create table w (${[...definitions, ...generated, `primary key (${keys.join(", ")})`].join(", ")});
    alter table w drop dropped;
    create table src (nr int, ${all.map(({ name, type }) => `${name} ${type === "key" ? "int" : type}`).join(", ")});
    create view public.v as select * from w;
    select skyq.create_capture('row', 'w', '{}', 'row'), skyq.create_capture('statement', 'w', '{}', 'statement');
    create trigger zz_generic after insert or update or delete on w
       for each row execute function pgq.logutriga('generic');
    create trigger zz_generic_truncate after truncate on w execute function pgq.logutriga('generic')`);
  return {
    keys,
    all: all.map(({ name }) => name),
    others: columns.map(({ name }) => name),
    types: all.map(({ type, definition }) => type + (definition.endsWith(" not null") ? "!" : "")),
  };
}

/** Fills src with rows from key `from` on; odd texts come in few of them, often only late. */
async function fillSource(random: Random, table: Table, from: number, size: number): Promise<void> {
  const oddness = random.pick([0, 0.01, 0.05, 1]);
  const firstOdd = random.chance(0.5) ? 0 : Math.max(size - 3, 0);
  const rows = Array.from({ length: size }, (_, i) => {
    const values = table.types.map((type) => {
      if (type === "key") return String(from + i);
      const isNotNull = type.endsWith("!");
      const values = TYPES[type.replace("!", "")]!;
      if (!isNotNull && random.chance(0.1)) return "null";
      const isOdd = i >= firstOdd && random.chance(oddness);
      const value = isOdd ? random.pick(values) : values[random.int(0, Math.min(2, values.length - 1))]!;
      return `${value}::${type.replace("!", "")}`;
    });
    return `(${[i, ...values].join(", ")})`;
  });
  await database.current.sql.unsafe(`truncate src; insert into src values ${rows.join(", ")}`);
}

/** A random statement, or several. It needs src filled. */
function statement(
  random: Random,
  table: Table,
  { isMergeKnown, file }: { isMergeKnown: boolean; file: string },
): { text: string; isAltered?: boolean } {
  const { keys, others } = table;
  const list = table.all.join(", ");
  const key = keys[0]!;
  const other = random.pick(others);
  const same = keys.map((name) => `w.${name} = src.${name}`).join(" and ");
  const size = random.pick(SIZES);
  const some = `${key} % ${random.int(2, 5)} = 0`;
  const set = others.map((name) => `${name} = src.${name}`).join(", ");
  const shift = 100_000 * random.int(1, 9000);
  const insert = `insert into w (${list}) select ${list} from src`;
  const upsert = `${insert} on conflict (${keys.join(", ")}) do update set ${
    others.map((name) => `${name} = excluded.${name}`).join(", ")
  }`;
  const update = `update w set ${set} from src where ${same}`;
  const fresh = `${insert} on conflict do nothing`;
  return random.pick<() => { text: string; isAltered?: boolean }>([
    () => ({ text: fresh }),
    () => ({ text: upsert }),
    () => ({
      text: `delete from w using src where ${same};
             copy (select ${list} from src) to '${file}'; copy w (${list}) from '${file}'`,
    }),
    () => ({ text: `${upsert}, ${keys.map((name) => `${name} = excluded.${name}`).join(", ")}` }),
    () => ({ text: `${upsert}, ${key} = excluded.${key} + ${shift}` }),
    () => ({ text: update }),
    () => ({ text: `update w set ${other} = ${other}, ${key} = ${key}` }),
    () => ({ text: `update w set ${key} = ${key} + ${shift} where ${some}` }),
    () => ({ text: `update w set ${key} = ${key} + ${shift}` }),
    () => ({ text: `update v set ${key} = ${key} + ${shift} where ${some}` }),
    () => ({
      text: `with a as (update w set ${other} = ${other} where not (${some}))
             update w set ${key} = ${key} + ${shift} where ${some}`,
    }),
    () => ({
      text: `with a as (update w set ${key} = ${key} + ${shift} where ${some})
             update w set ${other} = ${other} where not (${some})`,
    }),
    () => ({
      text: `with gone as (delete from w where ${some} returning *)
             insert into w (${list}) select ${
        table.all.map((name) => name === key ? `${key} + ${shift}` : name).join(", ")
      } from gone`,
    }),
    () => ({ text: `delete from w where ${some}` }),
    () => ({ text: `delete from w using src where ${same}` }),
    () => ({ text: "delete from w" }),
    () => ({ text: "truncate w" }),
    () => ({ text: `savepoint a; ${upsert}; update w set ${key} = ${key} + ${shift}; rollback to a; ${upsert}` }),
    () => ({
      text: `do $do$ begin
               begin ${upsert}; update w set ${key} = ${key} + ${shift}; perform 1 / 0;
               exception when division_by_zero then update w set ${other} = ${other}; end;
             end $do$`,
    }),
    () => ({
      text: `do $do$ declare c cursor for select * from w for update; i int := 0; begin
               for looped in c loop
                 i := i + 1;
                 if i % 3 = 0 then delete from w where current of c;
                 elsif i % 3 = 1 then update w set ${other} = ${other} where current of c;
                 else update w set ${key} = ${key} + ${shift} where current of c; end if;
                 exit when i > 20;
               end loop;
             end $do$`,
    }),
    () => ({
      text: `prepare p (int) as update w set ${other} = ${other}, ${key} = ${key} + $1 where ${key} % 7 < 5;
             ${[0, 0, 0, 0, 0, 0, shift, 0].map((by) => `execute p(${by});`).join("\n")} deallocate p`,
    }),
    () => ({
      text: `alter table w disable trigger _londiste_statement_key; update w set ${key} = ${key} + ${shift};
             alter table w enable ${random.pick(["", "always", "replica"])} trigger _londiste_statement_key;
             update w set ${key} = ${key} + ${shift} where ${some};
             alter table w enable trigger _londiste_statement_key`,
    }),
    () => ({
      text:
        `${fresh}; alter table w add added pg_catalog.text default 'a, b'; ${upsert}; update w set ${key} = ${key} + ${shift};
             update w set added = 'x&y' where ${some}; alter table w drop added; ${upsert}`,
      isAltered: true,
    }),
    () => ({
      text: `${upsert}; alter table w rename ${key} to renamed; update w set renamed = renamed + ${shift};
             alter table w rename renamed to ${key}; ${upsert}; update w set ${key} = ${key} + ${shift} where ${some}`,
      isAltered: true,
    }),
    () => ({
      // No column of an UPDATE OF trigger can have its type changed.
      text:
        `${upsert}; drop view v; drop trigger _londiste_statement_key on w; alter table w alter ${key} type bigint; update w set ${key} = ${key} + ${shift} where ${some};
             alter table w alter ${key} type int; ${upsert}; create view public.v as select * from w;
             select skyq.create_capture('statement', 'w', '{}', 'statement')`,
      isAltered: true,
    }),
    () => ({
      text: `set local session_replication_role = ${random.pick(["replica", "local"])}; select 1;
             set local session_replication_role = origin; ${update}`,
    }),
    () => ({ text: `${fresh}; delete from w where ${key} in (select ${key} from w limit ${size})` }),
    ...(isMergeKnown
      ? [() => ({
        text: `merge into w using src on ${same}
               when matched and src.nr % 3 = 0 then delete
               when matched and src.nr % 3 = 1 then update set ${key} = src.${key} + ${shift}
               when matched then update set ${set}
               when not matched then insert (${list}) values (${table.all.map((name) => `src.${name}`).join(", ")})`,
      })]
      : []),
  ])();
}

const SETTINGS: [string, readonly string[]][] = [
  ["datestyle", ["'ISO, MDY'", "'SQL, DMY'", "'German'", "'Postgres, MDY'"]],
  ["intervalstyle", ["postgres", "sql_standard", "iso_8601", "postgres_verbose"]],
  ["extra_float_digits", ["1", "-15", "3"]],
  ["bytea_output", ["hex", "escape"]],
  ["timezone", ["'UTC'", "'Asia/Kolkata'", "'America/St_Johns'"]],
  ["standard_conforming_strings", ["on", "off"]],
  ["quote_all_identifiers", ["on", "off"]],
  ["work_mem", ["'64kB'", "'4MB'"]],
  ["jit", ["on", "off"]],
  ["jit_above_cost", ["100000"]],
  ["enable_hashjoin", ["on", "off"]],
  ["plpgsql.variable_conflict", ["error", "use_column", "use_variable"]],
  ["check_function_bodies", ["on", "off"]],
  ["row_security", ["on", "off"]],
  ["backslash_quote", ["on"]],
  ["transform_null_equals", ["on", "off"]],
  ["max_parallel_workers_per_gather", ["0", "4"]],
  ["track_counts", ["on", "off"]],
  ["default_transaction_isolation", ["'read committed'", "'repeatable read'", "serializable"]],
];

type Logged = (string | null)[];

/** Events of a queue in order, each as type, data and the four extras. */
async function logged(queue: string): Promise<Logged[]> {
  return await database.current.rows(`
    select e.ev_type, e.ev_data, e.ev_extra1, e.ev_extra2, e.ev_extra3, e.ev_extra4 from pgq.event_template e
     where e.tableoid::regclass::text like
           (select q.queue_data_pfx || '\\_%' from pgq.queue q where q.queue_name = '${queue}')
     order by e.ev_id`) as Logged[];
}

/** Plays events into a table of texts by key. @returns what of them did not fit it */
function play(state: Map<string, string>, events: Logged[]): string[] {
  const misfits: string[] = [];
  for (const [type, data] of events) {
    const [act, keys] = [type![0]!, type!.slice(2)];
    if (act === "R") {
      state.clear();
      continue;
    }
    const fields = new URLSearchParams(data!);
    const key = keys.split(",").map((name) => fields.get(name)).join("/");
    if (state.has(key) === (act === "I")) misfits.push(`${type} ${key}`);
    if (act === "D") state.delete(key);
    else state.set(key, data!);
  }
  return misfits;
}

const sorted = (events: Logged[]) => events.map((event) => JSON.stringify(event)).sort();

beforeAll(async () => {
  const { sql } = database.current;
  await sql.unsafe(`
    select pgq.create_queue('row'), pgq.create_queue('statement'), pgq.create_queue('generic');
    create type tag as enum ('low', 'a, b', 'x&y=z', 'ü'); create domain words as text; create domain yes as bool;
    create type pair as (a int, b text);
    create schema evil;
    create function evil.lie(text, text) returns text language sql as 'select ''evil''::text';
    create function evil.no(text, text) returns bool language sql as 'select false';
    create function evil.no4(int4, int4) returns bool language sql as 'select false';
    create function evil.replace(text, text, text) returns text language sql as 'select ''evil''::text';
    create function evil.concat(variadic text[]) returns text language sql as 'select ''evil''::text';
    create function evil.encode(bytea, text) returns text language sql as 'select ''evil''::text';
    create function evil.set_config(text, text, bool) returns text language sql as 'select ''evil''::text';
    create function evil.current_setting(text) returns text language sql as 'select ''evil''::text';
    create operator evil.|| (function = evil.lie, leftarg = text, rightarg = text);
    create operator evil.!~ (function = evil.no, leftarg = text, rightarg = text);
    create operator evil.~ (function = evil.no, leftarg = text, rightarg = text);
    create operator evil.> (function = evil.no4, leftarg = int4, rightarg = int4);
    create domain evil.text as varchar check (value = 'evil'); create domain evil.int4 as varchar check (value = 'evil')`);
  await database.current.pinLogutriga(true);
  // Without extra rights, it relies on the writer's own path: when= and the like are the writer's.
  await sql.unsafe("alter function pgq.logutriga() set search_path = pg_catalog, public");
});

describe("capture by row, by statement and by the generic trigger", () => {
  it("comes to the same, whatever table, settings and statements", async () => {
    const random = seeded("capture attack");
    const { sql, rows, value } = {
      sql: database.current.sql,
      rows: (text: string) => database.current.rows(text),
      value: (text: string) => database.current.value(text),
    };
    const isMergeKnown = Number(await value("select current_setting('server_version_num')")) >= 150000;
    const file = `${await value("select current_setting('data_directory')")}/attack`;
    const [tableCount, turns] = IS_LONG ? [Number(Deno.env.get("SKYQ_ATTACKS") ?? 40), 30] : [3, 8];
    let statements = 0, refused = 0, events = 0;
    for (let round = 0; round < tableCount; round++) {
      const table = await makeTable(random);
      const state = { row: new Map<string, string>(), statement: new Map<string, string>() };
      let from = 1;
      for (let turn = 0; turn < turns; turn++) {
        const size = random.pick(SIZES);
        from = random.chance(0.4) ? from : random.int(1, 300);
        await fillSource(random, table, from, size);
        const settings = SETTINGS.filter(() => random.chance(0.25))
          .map(([name, values]) => `set ${name} = ${random.pick(values)};`)
          .concat(random.chance(0.3) ? "set search_path = evil, pg_catalog, public;" : "").join("\n");
        const parts = Array.from(
          { length: random.pick([1, 1, 2, 3]) },
          () => statement(random, table, { isMergeKnown, file }),
        );
        const text = parts.map((part) => part.text).join(";\n");
        await sql.unsafe(settings);
        let error = "";
        try {
          await sql.unsafe(`begin; ${text}; commit`);
          statements += parts.length;
        } catch (failure) {
          error = (failure as Error).message + ((failure as { where?: string }).where ?? "");
          await sql.unsafe("rollback");
          refused++;
        }
        await sql.unsafe("reset all; deallocate all");
        // A statement of ours may be wrong for the table; a trigger must never be what fails it.
        if (
          !/duplicate key|cannot affect row|out of range|a second time|used by a generated column|equality operator|pending trigger events/
            .test(
              error,
            )
        ) {
          expect([error, settings, text].slice(0, error === "" ? 1 : 3)).toEqual([""]);
        }
        const [row, byStatement, generic] = [await logged("row"), await logged("statement"), await logged("generic")];
        events += row.length;
        await sql.unsafe("delete from pgq.event_template");
        const context = `${round}.${turn} ${table.all.join()} ${table.types.join()}\n${settings}\n${text}`;
        expect([context, row]).toEqual([context, generic]);
        if (!parts.some((part) => part.isAltered)) {
          expect([context, sorted(byStatement)]).toEqual([context, sorted(generic)]);
        }
        expect([context, play(state.statement, byStatement)]).toEqual([context, []]);
        play(state.row, row);
        expect([context, [...state.statement].sort()]).toEqual([context, [...state.row].sort()]);
        expect([context, state.statement.size]).toEqual([context, (await rows("select count(*)::int from w"))[0]![0]]);
      }
    }
    console.log(`${statements} statements, ${refused} transactions refused, ${events} events`);
    expect(events).toBeGreaterThan(0);
  }, IS_LONG ? 1_800_000 : 300_000);
});
