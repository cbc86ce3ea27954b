import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { installSchemas } from "../../../src/db/install.ts";
import type { Param, Queryable } from "../../../src/db/queryable.ts";
import { pgq } from "../../../sql/pgq/mod.ts";
import vectors from "../../vectors/logutriga.json" with { type: "json" };
import { lendDatabases, type LentDatabase, pair } from "../../harness/pair.ts";
import { seeded } from "../../harness/seed.ts";

interface Event {
  ev_type: string | null;
  ev_data: string | null;
  ev_extra1: string | null;
  ev_extra2: string | null;
  ev_extra3: string | null;
  ev_extra4: string | null;
}

interface Failure {
  statement: number;
  message: string;
}

interface Case {
  name: string;
  table_ddl: string;
  trigger_ddl: string;
  statements: string[];
  events: Event[];
  errors?: Failure[];
  rows_after: number | null;
  upstream_defect?: boolean;
}

/** Short for an event of logutriga on public.t. */
function event(ev_type: string | null, ev_data: string | null, extra: Partial<Event> = {}): Event {
  return { ev_type, ev_data, ev_extra1: "public.t", ev_extra2: null, ev_extra3: null, ev_extra4: null, ...extra };
}

const PK_UPDATE = "logs delete and insert where the original refuses a change of the key";

/** Cases where skyq does better than what was observed: why, and what comes out. */
const BETTER: Record<string, { why: string; events: Event[]; errors?: Failure[]; rows_after?: number }> = {
  pk_update_rejected: {
    why: PK_UPDATE,
    events: [event("I:id", "id=1&txt=a"), event("D:id", "id=1&txt=a"), event("I:id", "id=2&txt=a")],
  },
  pk_update_rejected_composite: {
    why: PK_UPDATE,
    events: [event("I:a,b", "a=1&b=1&c=x"), event("D:a,b", "a=1&b=1&c=x"), event("I:a,b", "a=1&b=2&c=q")],
  },
  pk_update_rollback_keeps_others: {
    why: PK_UPDATE,
    events: [
      event("I:id", "id=1&txt=a"),
      event("I:id", "id=2&txt=b"),
      event("U:id", "id=2&txt=zz"),
      event("D:id", "id=1&txt=a"),
      event("I:id", "id=5&txt=a"),
    ],
  },
  pkey_arg_update_key_fails: {
    why: PK_UPDATE,
    events: [event("I:a,b", "a=1&b=x&c=y"), event("D:a,b", "a=1&b=x&c=y"), event("I:a,b", "a=1&b=z&c=y")],
  },
  pkey_arg_overrides_real_pk: {
    why: PK_UPDATE,
    events: [
      event("I:k", "id=1&k=x"),
      event("U:k", "id=7&k=x"),
      event("D:k", "id=7&k=x"),
      event("I:k", "id=7&k=changed"),
    ],
  },
  pkey_arg_with_space: {
    why: PK_UPDATE,
    events: [
      event("I:a, b", "a=1&b=x&c=y"),
      event("U:a, b", "a=1&b=x&c=z"),
      event("D:a, b", "a=1&b=x&c=z"),
      event("I:a, b", "a=1&b=w&c=z"),
    ],
  },
  pkey_arg_prefix_name: {
    why: PK_UPDATE,
    events: [
      event("I:id2", "id=1&id2=1&txt=x"),
      event("U:id2", "id=2&id2=1&txt=x"),
      event("D:id2", "id=2&id2=1&txt=x"),
      event("I:id2", "id=2&id2=2&txt=x"),
    ],
  },
  backup_pk_protect: {
    why: PK_UPDATE,
    events: [event("I:id", "id=1&txt=a"), event("D:id", "id=1&txt=a"), event("I:id", "id=9&txt=a")],
  },
  sql_pk_update_rejected: {
    why: PK_UPDATE,
    events: [event("I", "(id,txt) values ('1','a')"), event("D", "id='1'"), event("I", "(id,txt) values ('2','a')")],
  },
  pk_include_columns: {
    why: "a column that the key's index only includes is no key column",
    events: [event("I:id", "id=1&v=a&w=b"), event("U:id", "id=1&v=a&w=c"), event("U:id", "id=1&v=c&w=c")],
  },
  pk_column_renamed: {
    why: "ev_type has the key column's new name as well",
    events: [event("I:id", "id=1&txt=a"), event("U:ident", "ident=1&txt=b")],
  },
  pkey_arg_unknown_column: {
    why: "refuses changes that no consumer could find a row for",
    events: [event("I:nosuch", "id=1&txt=x")],
    errors: ["UPDATE", "DELETE"].map((act, index) => ({
      statement: index + 1,
      message: `Cannot log ${act} on table "public.t": pkey= names column "nosuch", which the table does not have`,
    })),
    rows_after: 1,
  },
  expr_quoted_column_not_substituted: {
    why: "quoted names may be used",
    events: [event("I:id", "id=1&Weird+Col=abc", { ev_extra3: "abc" })],
    rows_after: 1,
  },
  expr_uppercase_word_not_substituted: {
    why: "unquoted names are folded to lower case",
    events: [event("I:id", "id=1&txt=abc", { ev_extra3: "abc" })],
    rows_after: 1,
  },
  expr_column_named_like_function: {
    why: "a function is no column",
    events: [event("I:id", "id=1&upper=abc", { ev_extra3: "ABC" })],
    rows_after: 1,
  },
};

/** The server that a case needs, where its statements are newer than the oldest supported one. */
const MAJOR_MIN: Record<string, number> = { merge_statement: 15, type_numeric: 14, type_ranges: 14 };

const SETTINGS = `
  reset all; set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres';
  set bytea_output = 'hex'; set extra_float_digits = 1; set standard_conforming_strings = on;
  set lc_monetary = 'C'; set xmlbinary = 'base64'`;

const { provider } = await pair();
let database: LentDatabase;
let sql: postgres.Sql;

function connect(user?: string): postgres.Sql {
  const { cluster, name } = database;
  return postgres({
    host: cluster.host,
    port: cluster.port,
    database: name,
    username: user ?? cluster.superuser,
    max: 1,
    onnotice: () => {},
  });
}

function asQueryable(connection: postgres.Sql): Queryable {
  return {
    query: async <Row>(text: string, params: readonly Param[] = []) =>
      [...await connection.unsafe(text, params as never[])] as Row[],
  };
}

beforeAll(async () => {
  [database] = await lendDatabases(1);
  sql = connect();
  await installSchemas(asQueryable(sql), { schemas: [pgq], log: silentLog });
});

afterAll(() => sql.end({ timeout: 5 }));

async function clean(): Promise<void> {
  await sql.unsafe(SETTINGS);
  await sql.unsafe(`
    drop schema public cascade; create schema public; grant all on schema public to public;
    drop schema if exists app cascade; drop schema if exists "My Schema" cascade;
    select pgq.drop_queue(queue_name, true) from pgq.queue;
    select pgq.create_queue('vq')`);
}

/** The queue's content as the vectors write it. */
async function events(): Promise<Event[]> {
  const rows = await sql.unsafe<(Event & Record<string, unknown>)[]>(`
    select ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4 from pgq.event_template order by ev_id`);
  return rows.map((row) => ({ ...row }));
}

/** Runs statements one by one; after a failure the session rolls back and goes on. */
async function run(statements: readonly string[], connection = sql): Promise<Failure[]> {
  const failures: Failure[] = [];
  for (const [statement, text] of statements.entries()) {
    try {
      await connection.unsafe(text);
    } catch (error) {
      failures.push({ statement, message: (error as Error).message });
      await connection.unsafe("rollback");
    }
  }
  return failures;
}

describe("golden events", () => {
  for (const vector of vectors as unknown as Case[]) {
    const better = BETTER[vector.name];
    it.skipIf(provider.major < (MAJOR_MIN[vector.name] ?? 0))(
      `${vector.name}${better ? `: ${better.why}` : ""}`,
      async () => {
        await clean();
        await sql.unsafe(vector.table_ddl);
        await sql.unsafe(vector.trigger_ddl);
        const failures = await run(vector.statements);
        await sql.unsafe("reset session_replication_role; reset datestyle; reset timezone");
        const { events: wanted, errors = [] } = better ?? vector;
        const rowCount = better?.rows_after ?? vector.rows_after;
        expect({ events: await events(), failures }).toEqual({
          events: wanted,
          failures: errors.map(({ statement, message }) => ({ statement, message })),
        });
        if (rowCount !== null) {
          const table = /\bON\s+((?:"(?:[^"]|"")+"|\w|\.)+)/i.exec(vector.trigger_ddl)![1];
          const [count] = await sql.unsafe(`select count(*)::int as n from ${table}`);
          expect(count!.n).toBe(rowCount);
        }
      },
    );
  }
});

/** Urlencoding, said once more in another language. */
function urlencoded(text: string): string {
  return [...new TextEncoder().encode(text)].map((byte) => {
    const char = String.fromCharCode(byte);
    return /[-.0-9A-Z_a-z]/.test(char) ? char : char === " " ? "+" : `%${byte.toString(16).padStart(2, "0")}`;
  }).join("");
}

function decode(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}

describe("pgq._urlencode()", () => {
  async function encode(texts: string[]): Promise<string[]> {
    const rows = await sql`select pgq._urlencode(u.t) as encoded
                             from unnest(${texts}::text[]) with ordinality u (t, n) order by u.n`;
    return rows.map((row) => row.encoded);
  }

  it("encodes every character of the first plane, alone and among others", async () => {
    const texts: string[] = ["", " ", "%", "+", "%2b+ %"];
    for (let code = 1; code < 0x1_0000; code += code < 0x1000 ? 1 : 37) {
      if (code >= 0xd800 && code < 0xe000) continue;
      texts.push(String.fromCodePoint(code), `a${String.fromCodePoint(code)} +%`);
    }
    expect(await encode(texts)).toEqual(texts.map(urlencoded));
  });

  it("encodes random texts of few and of many different characters", async () => {
    const random = seeded("urlencode");
    const alphabets = [
      "abc -:+%",
      "aß\u00fc\u00e9\u00e8\u00f1\u00f8 ",
      "\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8 .",
      "\u65e5\u672c\u8a9e\u{1f600}\u{10ffff}'\"\\\n\t\u0001\u007f&=~%",
    ];
    const texts = Array.from({ length: 2000 }, (_, index) => {
      const letters = [...(index % 5 === 4 ? alphabets.join("") : alphabets[index % 5]!)];
      return Array.from({ length: random.int(0, 60) }, () => random.pick(letters)).join("");
    });
    expect(await encode(texts)).toEqual(texts.map(urlencoded));
  });

  it("encodes a megabyte of many different characters", async () => {
    const text = Array.from({ length: 350_000 }, (_, index) => String.fromCodePoint(0x4e00 + (index * 7919) % 20_000))
      .join("");
    expect((await encode([text]))[0] === urlencoded(text)).toBe(true);
  });

  it("keeps NULL and does not mind standard_conforming_strings", async () => {
    const [row] = await sql`select pgq._urlencode(null) as encoded`;
    expect(row!.encoded).toBe(null);
    if (provider.major >= 19) return;
    await sql.unsafe("set standard_conforming_strings = off");
    expect(await encode(["a\\b \u00f5\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7"])).toEqual([
      urlencoded("a\\b \u00f5\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7"),
    ]);
    await sql.unsafe("reset standard_conforming_strings");
  });
});

describe("pgq._row_values()", () => {
  it("gives back what format() put into a row, whatever the values", async () => {
    const random = seeded("row values");
    const pieces = [
      "",
      '"',
      '""',
      "\\",
      ",",
      ",,",
      "(",
      ")",
      "{",
      "}",
      "null",
      "NULL",
      " ",
      "a",
      "b c",
      "\n",
      "\u00f5",
    ];
    const value = () =>
      random.int(0, 4) === 0
        ? null
        : Array.from({ length: random.int(0, random.pick([2, 5, 90])) }, () => random.pick(pieces)).join("");
    for (let round = 0; round < 300; round++) {
      const values = Array.from({ length: random.int(1, 7) }, value);
      const row = values.map((_, index) => `$${index + 1}::text`).join(", ");
      const [got] = await sql.unsafe(`select to_json(pgq._row_values(format('%s', row(${row})))) as got`, values);
      expect(got!.got).toEqual(values);
    }
  });
});

describe("triggers", () => {
  async function create(table: string, args = "", options: { name?: string; when?: string; row?: string } = {}) {
    await sql.unsafe(`create trigger tg ${options.when ?? "after insert or update or delete"} on ${table} for each
                      ${options.row ?? "row"} execute function pgq.${options.name ?? "logutriga"}('vq'${args})`);
  }

  async function texts(): Promise<string[]> {
    return (await events()).map((row) => `${row.ev_type} ${row.ev_data}`);
  }

  it("let a role without any right on pgq write the table, and nothing more", async () => {
    await clean();
    const role = `plain_${database.name}`;
    await sql.unsafe(`create role ${role} login`);
    const plain = connect(role);
    try {
      await sql.unsafe(`create table t (id int primary key, txt text); grant all on t to ${role}`);
      await create("t", ", 'backup', 'ev_extra3=current_user', 'when=id < 100'");
      await plain.unsafe("insert into t values (1, 'a b')");
      await plain.unsafe("update t set id = 2, txt = 'c'");
      await plain.unsafe("insert into t values (100, '')");
      expect((await events()).map((row) => [row.ev_type, row.ev_data, row.ev_extra3])).toEqual([
        ["I:id", "id=1&txt=a+b", role],
        ["D:id", "id=1&txt=a+b", role],
        ["I:id", "id=2&txt=c", role],
      ]);

      const forged = "('vq', 'I:id', 'id=9', 'public.t', null, null, null)";
      const refusal = 'Cannot insert an event into queue "vq": permission denied for function insert_event';
      await sql.unsafe(`create schema app; grant create, usage on schema app to ${role}`);
      expect(
        await run([
          `select pgq.insert_event${forged}`,
          `select pgq._insert_trigger_event${forged}`,
          `do $$ begin perform pgq._insert_trigger_event${forged}; end $$`,
          `create function app."pgq.logutriga"() returns bigint language plpgsql as
           $$ begin return pgq._insert_trigger_event${forged}; end $$`,
          `select app."pgq.logutriga"()`,
          `create function app."x PL/pgSQL function pgq.logutriga() line 1"() returns bigint language sql as
           $$ select pgq._insert_trigger_event${forged} $$`,
          `select app."x PL/pgSQL function pgq.logutriga() line 1"()`,
          `create function app.logutriga() returns trigger language plpgsql as
           $$ begin perform pgq._insert_trigger_event${forged}; return null; end $$`,
          `create table app.own (id int primary key)`,
          `create trigger tg after insert on app.own for each row execute function app.logutriga()`,
          `set search_path = app`,
          `insert into own values (1)`,
          `create trigger tg2 after insert on app.own for each row execute function pgq.logutriga('vq')`,
        ], plain),
      ).toEqual([
        { statement: 0, message: "permission denied for function insert_event" },
        { statement: 1, message: refusal },
        { statement: 2, message: refusal },
        { statement: 4, message: refusal },
        { statement: 6, message: refusal },
        { statement: 11, message: refusal },
        { statement: 12, message: "permission denied for function pgq.logutriga" },
      ]);
      expect((await events()).length).toBe(3);
    } finally {
      await plain.end({ timeout: 5 });
      await sql.unsafe(`drop owned by ${role}; drop role ${role}`);
    }
  });

  it("take names of 63 bytes, with quotes, dots, blanks and commas", async () => {
    await clean();
    const long = "\u00f5".repeat(31) + "x";
    const table = `we"ird. ,(${"\u65e5".repeat(17)})`;
    const columns = [long, 'a"b', "c.d", "e f", "g,h", "(i)", "j\\k", "l'm", "UPPER"];
    const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
    await sql.unsafe(`create schema "My Schema"; create table "My Schema".${quoted(table)}
      (${columns.map((name) => `${quoted(name)} text`).join(", ")}, primary key (${quoted(long)}, ${quoted("g,h")}))`);
    const name = `"My Schema".${quoted(table)}`;
    await create(name, `, 'ev_extra3="a""b" || ''/'' || "UPPER"'`);
    await sql.unsafe(`insert into ${name} values (${columns.map((_, index) => `'${index} "'`).join(", ")})`);
    await sql.unsafe(`update ${name} set ${quoted('a"b')} = null`);
    const data = (a: string) =>
      columns.map((column, index) => index === 1 ? urlencoded(column) + a : `${urlencoded(column)}=${index}+%22`).join(
        "&",
      );
    const common = { ev_extra1: `My Schema.${table}`, ev_extra2: null, ev_extra4: null };
    expect(await events()).toEqual([
      { ev_type: `I:${long},g,h`, ev_data: data("=1+%22"), ...common, ev_extra3: '1 "/8 "' },
      { ev_type: `U:${long},g,h`, ev_data: data(""), ...common, ev_extra3: null },
    ]);
  });

  it("find the columns of a list as the original does: blanks separate names as commas do, or belong to one", async () => {
    await clean();
    await sql.unsafe('create table t (id int primary key, a int, b int, "a b" int, "c,d" int, " e" int)');
    const shown = async (list: string) => {
      await sql.unsafe("drop trigger if exists tg on t");
      await create("t", `, E'ignore=${list}'`);
      await sql.unsafe("truncate t; insert into t values (1, 2, 3, 4, 5, 6)");
      return (await events()).at(-1)!.ev_data;
    };
    expect(await shown("a b")).toBe("id=1&c%2cd=5&+e=6");
    expect(await shown(",, a\\t,\\nb ,")).toBe("id=1&a+b=4&c%2cd=5&+e=6");
    expect(await shown("b, a")).toBe("id=1&a+b=4&c%2cd=5&+e=6");
    expect(await shown("c,d")).toBe("id=1&a=2&b=3&a+b=4&+e=6");
    expect(await shown("A,e")).toBe("id=1&a=2&b=3&a+b=4&c%2cd=5&+e=6");
    expect(await shown(" e")).toBe("id=1&a=2&b=3&a+b=4&c%2cd=5");

    await sql.unsafe("drop trigger tg on t");
    await create("t", ", 'pkey=b a,,'");
    await sql.unsafe("update t set id = 7; update t set a = 8");
    expect((await texts()).slice(-3)).toEqual([
      "U:b a,, id=7&a=2&b=3&a+b=4&c%2cd=5&+e=6",
      "D:b a,, id=7&a=2&b=3&a+b=4&c%2cd=5&+e=6",
      "I:b a,, id=7&a=8&b=3&a+b=4&c%2cd=5&+e=6",
    ]);
    await sql.unsafe("drop trigger tg on t");
    await create("t", ", 'pkey=a nosuch'");
    expect(await run(["update t set a = 9"])).toEqual([{
      statement: 0,
      message: 'Cannot log UPDATE on table "public.t": pkey= names column "nosuch", which the table does not have',
    }]);
  });

  it("take magic columns neither for data nor for a part of the key, nor for a change that has to be logged", async () => {
    await clean();
    await sql.unsafe("create table t (id int, v text, w text, _pgq_ev_extra3 text, primary key (id, _pgq_ev_extra3))");
    await create("t", "", { name: "sqltriga" });
    await sql.unsafe("insert into t values (1, 'a', 'b', 'x')");
    await sql.unsafe("update t set _pgq_ev_extra3 = 'y'; update t set v = 'c', _pgq_ev_extra3 = 'z'; delete from t");
    expect((await events()).map((row) => [row.ev_type, row.ev_data, row.ev_extra3])).toEqual([
      ["I", "(id,v,w) values ('1','a','b')", "x"],
      ["U", "v='c' where id='1'", "z"],
      ["D", "id='1'", "z"],
    ]);

    await sql.unsafe("drop trigger tg on t");
    await create("t", ", 'ignore=w'");
    await sql.unsafe("insert into t values (1, 'a', 'b', 'x')");
    await sql.unsafe(
      "update t set w = 'c', _pgq_ev_extra3 = 'y'; update t set _pgq_ev_extra3 = 'z'; update t set v = 'd'",
    );
    expect((await events()).slice(3).map((row) => [row.ev_type, row.ev_data, row.ev_extra3])).toEqual([
      ["I:id,_pgq_ev_extra3", "id=1&v=a", "x"],
      ["U:id,_pgq_ev_extra3", "id=1&v=d", "z"],
    ]);
  });

  it("log a key that only looks different as an update, and one that changed as delete and insert", async () => {
    await clean();
    await sql.unsafe("create table t (v text, k numeric, b text, primary key (k, b))");
    await create("t", "", { name: "jsontriga" });
    await sql.unsafe(
      "insert into t values ('x y', 1.0, 'p,q'); update t set k = 1.00; update t set b = 'r', v = ''",
    );
    const type = (op: string) => `{"op":"${op}","table":["public","t"],"pkey":["k","b"]}`;
    expect(await texts()).toEqual([
      `${type("INSERT")} {"v":"x y","k":"1.0","b":"p,q"}`,
      `${type("UPDATE")} {"v":"x y","k":"1.00","b":"p,q"}`,
      `${type("DELETE")} {"v":"x y","k":"1.00","b":"p,q"}`,
      `${type("INSERT")} {"v":"","k":"1.00","b":"r"}`,
    ]);
  });

  it("log what random changes do, so that replaying the events gives the table", async () => {
    await clean();
    const random = seeded("random changes");
    const columns = ["k1", "a b", "k2", "gone", 'q"', "v"];
    await sql.unsafe(
      `create table t (k1 int, "a b" text, k2 text, gone int, "q""" text, v numeric, primary key (k2, k1));
                      alter table t drop column gone`,
    );
    await create("t");
    const live = columns.filter((name) => name !== "gone");
    const pieces = ["", "x", " ", '"', "\\", ",", "'", "\u00f5\u65e5", "%", "null"];
    const text = () =>
      random.chance(0.2) ? null : Array.from({ length: random.int(0, 4) }, () => random.pick(pieces)).join("");
    for (let round = 0; round < 200; round++) {
      const key = [random.int(1, 4), random.pick(["a", "b,", '"', ""])] as const;
      const kind = random.int(0, 3);
      if (kind === 0) await sql`delete from t where k1 = ${key[0]} and k2 = ${key[1]}`;
      else if (kind === 1) {
        await sql.unsafe(
          `insert into t values ($1, $2, $3, $4, $5)
          on conflict (k1, k2) do update set "a b" = excluded."a b", "q""" = excluded."q""", v = excluded.v`,
          [
            ...[key[0], text(), key[1], text()],
            random.chance(0.3) ? null : `${random.int(0, 99)}.${random.int(0, 99)}`,
          ],
        );
      } else if (kind === 2) await sql`update t set "a b" = ${text()}, v = v + 1 where k1 = ${key[0]}`;
      else {
        // the key itself, unless another row has it
        const other = random.int(1, 4);
        await sql`update t set k1 = ${other} where k1 = ${key[0]} and k2 = ${key[1]}
                     and not exists (select from t o where o.k1 = ${other} and o.k2 = ${key[1]})`;
      }
    }
    const rows = new Map<string, string>();
    for (const { ev_type, ev_data } of await events()) {
      const pairs = ev_data!.split("&").map((pair) => pair.split("="));
      const value = Object.fromEntries(
        pairs.map(([name, text]) => [decode(name!), text === undefined ? null : decode(text)]),
      );
      const key = JSON.stringify([value.k1, value.k2]);
      expect(ev_type!.slice(1)).toBe(":k2,k1");
      expect(rows.has(key)).toBe(ev_type![0] !== "I");
      if (ev_type![0] === "D") rows.delete(key);
      else rows.set(key, JSON.stringify(live.map((name) => value[name])));
    }
    const wanted = await sql`select to_json(array[k1::text, "a b", k2, "q""", v::text]) as row from t`;
    expect([...rows.values()].sort()).toEqual(wanted.map(({ row }) => JSON.stringify(row)).sort());
    expect(rows.size > 0).toBe(true);
  });

  it("follow a column's new type and name in the same session, and large values", async () => {
    await clean();
    await sql.unsafe("create table t (id int primary key, v int, w text)");
    await create("t");
    await sql.unsafe("insert into t values (1, 5, 'x')");
    await sql.unsafe(
      `alter table t alter v type text using v || ' "'; alter table t rename w to "w w"; update t set v = v`,
    );
    const large = '{"a": [1, 2, "\\"b"]}, '.repeat(40_000);
    await sql`update t set "w w" = ${large}`;
    expect(await texts()).toEqual([
      "I:id id=1&v=5&w=x",
      "U:id id=1&v=5+%22&w+w=x",
      `U:id id=1&v=5+%22&w+w=${urlencoded(large)}`,
    ]);
  });

  it("refuse rows that a repeatable-read transaction's old view of the catalogue would name wrongly", async () => {
    await clean();
    await sql.unsafe("create table t (id int primary key, v int, w int); create table other (x int)");
    await create("t");
    const reader = connect();
    try {
      await reader.unsafe(SETTINGS);
      await reader.unsafe(
        "begin isolation level repeatable read; select count(*) from other; insert into t values (1, 1, 1)",
      );
      await reader.unsafe("commit");
      await reader.unsafe("begin isolation level repeatable read; select count(*) from other");
      await sql.unsafe("alter table t rename v to v1; alter table t rename w to v; alter table t rename v1 to w");
      const failures = await run(["insert into t values (2, 2, 3)"], reader);
      expect(failures.map(({ message }) => message)).toEqual([
        `Cannot log INSERT on table "public.t": it was altered after this transaction's snapshot was taken`,
      ]);
      await reader.unsafe(
        "begin isolation level serializable; insert into t values (2, 2, 3); delete from t where id = 1; commit",
      );
    } finally {
      await reader.end({ timeout: 5 });
    }
    expect(await texts()).toEqual(["I:id id=1&v=1&w=1", "I:id id=2&w=2&v=3", "D:id id=1&w=1&v=1"]);
  });

  it("compare by the type's own equality, found wherever the type lives", async () => {
    await clean();
    await sql.unsafe(`
      create schema app;
      create type app.pair as (n numeric, j text); create type app.docs as (d json);
      create domain app.amount as numeric;
      create type app.mood as enum ('sad', 'ok');
      create table t (id int primary key, i interval, f float8, d app.amount, p app.pair, o app.docs, r numrange,
                      c char(3), b bpchar, m app.mood, pt point, x text, s tsvector, a numeric[])`);
    await create("t", ", 'ignore=i,f,d,p,o,r,c,b,m,pt,x,s,a'");
    await sql.unsafe(
      `insert into t values (1, '1 day', '0', 1.0, '(1.0,x)', '("{}")', '[1.0,2)', 'a', 'a', 'ok', '(1,1)',
                      'x', 'a b', '{1.0}')`,
    );
    /** An update of ignored columns only is logged just when nothing changed. */
    const isEqual = async (set: string) => {
      await sql.unsafe("truncate pgq.event_1_0, pgq.event_1_1, pgq.event_1_2".replaceAll("event_1_", `${prefix}_`));
      await sql.unsafe(`begin; update t set ${set}`);
      const [count] = await sql`select count(*)::int as n from pgq.event_template`;
      await sql.unsafe("rollback");
      return count!.n === 1;
    };
    const [queue] = await sql`select queue_data_pfx from pgq.queue`;
    const prefix = queue!.queue_data_pfx.replace("pgq.", "");
    const equal = [
      "i = '24:00:00'",
      "f = '-0'",
      "d = 1.00",
      "p = '(1.00,x)'",
      "r = '[1.00,2)'",
      "b = 'a  '",
      "x = 'x'",
    ];
    const different = [
      ...["i = '23:00:00'", "f = 1", "d = 2", "p = '(1.0,y)'", `o = '("{ }")'`, "r = '[1,3)'", "c = 'b'", "b = 'b'"],
      ...["m = 'sad'", "pt = '(1,2)'", "x = 'y'", "s = 'a c'", "a = '{1.00}'", "x = null", "id = 1, m = null"],
    ];
    const got: Record<string, boolean> = {};
    for (const set of [...equal, ...different]) got[set] = await isEqual(set);
    expect(got).toEqual(
      Object.fromEntries([...equal.map((set) => [set, true]), ...different.map((set) => [set, false])]),
    );
  });

  it("work under any search_path, pgq in it or nothing at all, and evaluate expressions under it", async () => {
    await clean();
    await sql.unsafe(`create table t (id int primary key, txt text); create schema app;
                      create function app.twice(i int) returns int language sql as 'select 2 * i'`);
    await create("t", ", 'ev_extra4=case when id < 3 then 0 else twice(id) end'");
    for (const [id, path] of ["''", "pgq, public", "app, pg_catalog", "pgq, app, public"].entries()) {
      await sql.unsafe(`set search_path = ${path}`);
      if (path.includes("app")) await sql.unsafe(`insert into public.t values (${id}, 'a b')`);
      else {expect(await run([`insert into public.t values (${id}, 'a b')`])).toEqual([
          { statement: 0, message: "function twice(integer) does not exist" },
        ]);}
    }
    await sql.unsafe("reset search_path");
    expect((await events()).map((row) => row.ev_extra4)).toEqual(["0", "6"]);
  });

  it("write ISO dates into JSON under every DateStyle, also the old row", async () => {
    await clean();
    await sql.unsafe("create table t (id int primary key, d date, tz timestamptz, s text)");
    await create("t", ", 'backup'", { name: "jsontriga" });
    await sql.unsafe("set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kolkata'");
    await sql.unsafe("insert into t values (1, '31/12/2020', '31/12/2020 01:02:03.5+00', 'x'); update t set d = null");
    await sql.unsafe("reset datestyle; set timezone = 'Asia/Kolkata'; update t set id = 2");
    await sql.unsafe("reset timezone");
    const tz = '"tz":"2020-12-31T06:32:03.5+05:30","s":"x"';
    expect((await events()).map((row) => [row.ev_data, row.ev_extra2])).toEqual([
      [`{"id":1,"d":"2020-12-31",${tz}}`, null],
      [`{"id":1,"d":null,${tz}}`, `{"id":1,"d":"2020-12-31",${tz}}`],
      [`{"id":1,"d":null,${tz}}`, null],
      [`{"id":2,"d":null,${tz}}`, null],
    ]);
  });

  it("replace columns in expressions, and nothing else", async () => {
    const before = [
      `id+ID * "ID" || e'id\\' id' || 'id''id' || $$id$$ || $x$ id $x$ || t.id || id.x || id() || id ('')`,
      `/* id */ -- id`,
      `a.b || a.b.b || a . b || x.id() || `,
      `id::id || cast(id as id) || B'1' || idx || 1id || "a ""b" || b || \u00f5 || (select id from x) || end`,
    ].join("\n");
    const after = [
      `($1).id+($1)."ID" * ($1)."ID" || e'id\\' id' || 'id''id' || $$id$$ || $x$ id $x$ || t.id || id.x || id() || id ('')`,
      `/* id */ -- id`,
      `($1)."a.b" || a.b.b || a . b || x.id() || `,
      `($1).id::id || cast(($1).id as id) || B'1' || idx || 1id || ($1)."a ""b" || ($1).b || ($1)."\u00f5" || ` +
      `(select ($1).id from x) || ($1)."end"`,
    ].join("\n");
    const names = ["id", "ID", 'a "b', "b", "\u00f5", "end", "a.b", "x.id()"];
    const [row] = await sql`select pgq._trigger_expression(${before}, ${names}) as text`;
    expect(row!.text).toBe(after);
  });

  it("take an expression that ends with a semicolon, and an empty one for NULL", async () => {
    await clean();
    await sql.unsafe("create table t (id int primary key)");
    await create("t", ", 'ev_data= ', 'ev_extra2=', 'ev_extra3=id + 1; ', 'when=id < 9;'");
    await sql.unsafe("insert into t values (1), (9)");
    expect(await events()).toEqual([event("I:id", null, { ev_extra3: "2" })]);
    await sql.unsafe("drop trigger tg on t");
    await create("t", ", 'when='");
    expect((await run(["insert into t values (2)"]))[0]!.message).toMatch(/^when= query result must be boolean, got=/);
  });

  it("do not let expressions write", async () => {
    await clean();
    await sql.unsafe("create table t (id int primary key); create table side (x int)");
    await create("t", ", 'ev_extra3=(with w as (insert into side values (1) returning x) select x from w)'");
    expect((await run(["insert into t values (1)"])).length).toBe(1);
  });

  it.skipIf(provider.major < 18)("leave out generated columns that are not stored", async () => {
    await clean();
    await sql.unsafe(`create table t (id int primary key, a int, g int generated always as (a * 2) virtual,
                                      s int generated always as (a * 3) stored)`);
    await create("t", ", 'backup'");
    await sql.unsafe("insert into t values (1, 5); update t set a = 6; delete from t");
    expect((await events()).map((row) => [row.ev_type, row.ev_data, row.ev_extra2])).toEqual([
      ["I:id", "id=1&a=5&s=15", null],
      ["U:id", "id=1&a=6&s=18", "id=1&a=5&s=15"],
      ["D:id", "id=1&a=6&s=18", null],
    ]);
  });

  it("evaluate each expression once, also one with a FROM of its own", async () => {
    await clean();
    await sql.unsafe(`create table t (id int primary key); create sequence calls; create table cfg (v int);
      insert into cfg values (7), (8);
      create function tick(i int) returns bigint language plpgsql stable as $$ begin return nextval('calls') + i; end $$`);
    await create("t", ", 'ev_extra3=tick(id)', 'ev_extra4=max(v) + id, 5 from cfg where v > id', 'when=tick(id) > 0'");
    await sql.unsafe("insert into t values (1)");
    const [row] = await sql`select last_value::int as n from calls`;
    expect(row!.n).toBe(2);
    expect((await events()).map((row) => [row.ev_extra3, row.ev_extra4])).toEqual([["2", "9"]]);
  });

  it("call whatever pgq.insert_event is there", async () => {
    await clean();
    await sql.unsafe("create table t (id int primary key)");
    await create("t");
    await sql.unsafe("insert into t values (1)");
    await sql.unsafe(`begin;
      alter function pgq.insert_event(text, text, text, text, text, text, text) rename to insert_event_kept;
      create function pgq.insert_event(text, text, text, text, text, text, text) returns bigint language plpgsql as
        $$ begin raise exception 'got % % %', $1, $2, $3; end $$`);
    expect(await run(["insert into t values (2)"])).toEqual([{ statement: 0, message: "got vq I:id id=2" }]);
    await sql.unsafe("insert into t values (3)");
    expect(await texts()).toEqual(["I:id id=1", "I:id id=3"]);
  });
});
