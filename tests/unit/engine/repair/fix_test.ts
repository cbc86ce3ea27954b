import { beforeAll, describe, expect, it } from "vitest";
import { fixPreamble, fixStatement, undoStatement } from "../../../../src/engine/repair/fix.ts";
import { seeded } from "../../../harness/seed.ts";
import { openSides, type Sides, textOf, type Walked } from "./_sides.ts";

const fixes = ({ layout, differences }: Walked) => differences.map((one) => textOf(fixStatement(layout, one)));
const undos = ({ layout, differences }: Walked) => differences.map((one) => textOf(undoStatement(layout, one)));

describe("fixStatement() and undoStatement()", () => {
  const random = seeded("fixStatement() and undoStatement()");
  let sides: Sides;
  beforeAll(async () => {
    sides = await openSides();
  });

  async function make(create: string, source: string, target: string): Promise<void> {
    await sides.both(`drop schema public cascade; create schema public; ${create}`);
    await sides.source.exec(source);
    await sides.target.exec(target);
  }

  it("write one statement of each kind, in the form that Londiste's fix files have", async () => {
    await make(
      "create table t (id int primary key, a text, b text)",
      "insert into t values (2, 'x', null), (4, 'new', null)",
      "insert into t values (4, null, 'old'), (5000, 'y', 'z')",
    );
    const walked = await sides.walk();
    expect(fixes(walked)).toEqual([
      "insert into public.t (id, a, b) values ('2', 'x', null);\n",
      "update only public.t set a = 'new', b = null where id = '4' and a is null and b = 'old';\n",
      "delete from only public.t where id = '5000';\n",
    ]);
    expect(undos(walked)).toEqual([
      "delete from only public.t where id = '2';\n",
      "update only public.t set a = null, b = 'old' where id = '4' and a = 'new' and b is null;\n",
      "insert into public.t (id, a, b) values ('5000', 'y', 'z');\n",
    ]);
    expect(fixPreamble(walked.layout)).toBe("set client_encoding = 'UTF8';\n");
  });

  it("quote names where the server would, and values so that any server setting reads them the same", async () => {
    await make(
      `create table "T x" ("Id" int primary key, "select" text, plain text)`,
      String.raw`insert into "T x" values (1, 'it''s', E'tab\tline\nback\\slash''')`,
      String.raw`insert into "T x" values (1, E'\\', '')`,
    );
    const walked = await sides.walk({ sourceTable: "public.T x", targetTable: "public.T x" });
    const fix = `update only public."T x" set "select" = 'it''s', plain = E'tab\tline\nback\\\\slash''' ` +
      `where "Id" = '1' and "select" = E'\\\\' and plain = '';\n`;
    expect(fixes(walked)).toEqual([fix]);
    for (const setting of ["on", "off"]) {
      await sides.target.exec(
        `begin; set local standard_conforming_strings = ${setting}; set local escape_string_warning = off; ${fix}`,
      );
      expect(await sides.target.query(`select * from "T x"`)).toEqual(await sides.source.query(`select * from "T x"`));
      await sides.target.exec("rollback");
    }
  });

  it("do nothing to a row that has changed meanwhile", async () => {
    await make(
      "create table t (id int primary key, a text, b json)",
      "insert into t values (1, 'new', '{}'), (2, 'new', '{}')",
      "insert into t values (1, 'old', '[]'), (2, 'old', '[]')",
    );
    const walked = await sides.walk();
    await sides.target.exec(`update t set b = '"later"' where id = 1`);
    await sides.apply(walked, fixStatement);
    expect(await sides.target.query("select * from t order by id")).toEqual([
      { id: 1, a: "old", b: '"later"' },
      { id: 2, a: "new", b: "{}" },
    ]);
  });

  it("compare old values of types without an equality of their own as text", async () => {
    const types = [
      "json",
      "xml",
      "point",
      "box",
      "circle",
      "path",
      "polygon",
      "lseg",
      "line",
      "json[]",
      "txid_snapshot",
      "aclitem",
      "point[]",
    ];
    const values: Record<string, [string, string]> = {
      json: ['{"a":1}', '{"a": 1}'],
      xml: ["<a/>", "<b/>"],
      point: ["(1,2)", "(2,1)"],
      box: ["(2,2),(0,0)", "(4,1),(0,0)"], // the same area
      circle: ["<(0,0),1>", "<(1,0),1>"],
      path: ["[(0,0),(1,1)]", "[(0,0),(2,2)]"],
      polygon: ["((0,0),(1,1),(1,0))", "((0,0),(2,2),(2,0))"],
      lseg: ["[(0,0),(1,1)]", "[(0,0),(1,2)]"],
      line: ["{1,2,3}", "{1,2,4}"],
      "json[]": ['{"{}"}', '{"[]"}'],
      txid_snapshot: ["1:2:", "1:3:"],
      aclitem: ["postgres=r/postgres", "postgres=w/postgres"],
      "point[]": ['{"(1,2)"}', '{"(2,1)"}'],
    };
    const list = types.map((type, i) => `c${i} ${type}`).join(", ");
    const row = (which: 0 | 1) => types.map((type) => `'${values[type]![which]}'`).join(", ");
    await make(
      `create table t (id int primary key, ${list})`,
      `insert into t values (1, ${row(0)})`,
      `insert into t values (1, ${row(1)})`,
    );
    const walked = await sides.walk();
    expect(walked.differences.length).toBe(1);
    await sides.apply(walked, fixStatement);
    expect((await sides.walk()).shown).toEqual([]);
    await sides.apply(walked, undoStatement);
    expect(fixes(await sides.walk())).toEqual(fixes(walked));
  });

  it("leave computed columns to the server, and write identity columns", async () => {
    await make(
      "create table t (id int generated always as identity primary key, a int, twice int generated always as (a * 2) stored, n int generated always as identity)",
      "insert into t (a) values (1), (2), (3)",
      "insert into t (a) values (1), (9)",
    );
    await sides.target.exec(
      "alter table t alter n set generated by default; update t set n = 77 where id = 2; alter table t alter n set generated always",
    );
    const walked = await sides.walk();
    expect(fixes(walked)).toEqual([
      "with gone as (delete from only public.t where id = '2' and a = '9' and n = '77' returning *) " +
      "insert into public.t (id, a, n) overriding system value select '2', '2', '2' from gone;\n",
      "insert into public.t (id, a, n) overriding system value values ('3', '3', '3');\n",
    ]);
    await sides.apply(walked, fixStatement);
    expect((await sides.walk()).shown).toEqual([]);
    await sides.apply(walked, undoStatement);
    expect((await sides.walk()).shown).toEqual(walked.shown);
    // Only what is computed differs: no statement can mend that.
    await make(
      "create table t (id int primary key, a int generated always as (id * 2) stored)",
      "insert into t values (1)",
      "",
    );
    await sides.target.exec(
      "drop table t; create table t (id int primary key, a int generated always as (id * 3) stored); insert into t values (1)",
    );
    const computed = await sides.walk();
    expect([computed.shown, fixes(computed)]).toEqual([["~1"], [null]]);
  });

  it("reach rows of partitions, and move them between partitions", async () => {
    await make(
      "create table t (a int primary key, v text) partition by range (a); create table t1 partition of t for values from (0) to (100)",
      "insert into t values (1, 'a'), (2, 'b')",
      "insert into t values (1, 'x'), (3, 'c')",
    );
    const walked = await sides.walk();
    expect(fixes(walked)).toEqual([
      "update public.t set v = 'a' where a = '1' and v = 'x';\n",
      "insert into public.t (a, v) values ('2', 'b');\n",
      "delete from public.t where a = '3';\n",
    ]);
    await sides.apply(walked, fixStatement);
    expect((await sides.walk()).shown).toEqual([]);
  });

  it("carry every value of every common type there and back", async () => {
    const columns = {
      a: ["float8", ["NaN", "-0", "1e-300", "Infinity", "0.1"]],
      b: ["bytea", ["\\x", "\\x00ff5c27", "\\x0a"]],
      c: ["text", ["", "\\", "\\N", "'", "\t\n\r\b\f\v", "ä\u{1f600}", "\\x41", "$1", "--", ";"]],
      d: ["timestamptz", ["infinity", "0044-03-15 12:00:00+00 BC", "2024-02-29 12:00:00.000001+00"]],
      e: ["interval", ["1 year -2 mons 3 days -04:05:06.7", "0"]],
      f: ["text[]", ["{}", '{NULL,"NULL","","\\\\","\\""}', "[0:1]={a,b}"]],
      g: ["numeric", ["NaN", "1.00", "1e-50", "-12345678901234567890.5"]],
      h: ["bit varying", ["", "0101"]],
      i: ["money", ["-1234.56", "0"]],
      j: ["inet", ["10.0.0.1/8", "::1"]],
      k: ["int4range", ["empty", "[1,5)"]],
      l: ["char(4)", ["", "a", "a'b\\"]],
      m: ["jsonb", ['{"a": "\\\\"}', "null"]],
    } as const satisfies Record<string, [string, readonly string[]]>;
    const names = Object.keys(columns) as (keyof typeof columns)[];
    const create = names.map((name) => `${name} ${columns[name][0]}`).join(", ");
    await make(`create table t (id int primary key, ${create})`, "", "");
    for (const db of [sides.source, sides.target]) {
      for (let id = 1; id <= 60; id++) {
        if (random.chance(0.2)) continue;
        const values = names.map((name) => random.chance(0.2) ? null : random.pick<string>(columns[name][1]));
        const casts = names.map((name, index) => `('' || $${index + 2}::text)::${columns[name][0]}`);
        await db.query(`insert into t values ($1, ${casts.join(", ")})`, [id, ...values]);
      }
    }
    const sum = "select md5(string_agg(t::text, ',' order by id)) as sum from t";
    const before = await sides.target.query(sum);
    const walked = await sides.walk();
    expect(walked.differences.length).toBeGreaterThan(30);
    await sides.apply(walked, fixStatement);
    expect(await sides.target.query(sum)).toEqual(await sides.source.query(sum));
    await sides.apply(walked, undoStatement);
    expect(await sides.target.query(sum)).toEqual(before);
  });

  it("replace a row whose key is another spelling of the same, whichever comes first", async () => {
    await make(
      `create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
       create table t (k text collate ci, i interval, j jsonb, primary key (k, i, j), v text)`,
      "insert into t values ('a', '1 mon', '1', 's'), ('B', '1 mon', '[1.0]', 's'), ('c', '24:00', '1.0', 's'), ('d', '1', '2', 's')",
      "insert into t values ('A', '30 days', '1.0', 't'), ('b', '720:00', '[1]', 't'), ('C', '1 day', '1', 't'), ('e', '1', '2', 't')",
    );
    const rows = () => sides.target.query("select * from t order by lower(k)");
    const before = await rows();
    const walked = await sides.walk();
    expect(walked.differences.length).toBe(8);
    // In the order of the file, as psql does it.
    for (const one of walked.differences) await sides.target.exec(textOf(fixStatement(walked.layout, one))!);
    expect((await sides.walk()).shown).toEqual([]);
    for (const one of walked.differences) await sides.target.exec(textOf(undoStatement(walked.layout, one))!);
    expect(await rows()).toEqual(before);
  });

  it("say which settings they need: the encoding of their bytes, arrays, money", async () => {
    await make("create table t (id int primary key, price money, a text[])", "", "");
    expect(fixPreamble(await sides.layout())).toBe(
      "set client_encoding = 'UTF8';\nset array_nulls = on;\nset lc_monetary = 'C';\n",
    );
    const latin = await openSides({ source: "UTF8", target: "LATIN1" });
    await latin.both("create table t (id int primary key)");
    expect(fixPreamble(await latin.layout())).toBe("set client_encoding = 'UTF8';\n");
    const raw = await openSides({ source: "SQL_ASCII", target: "UTF8" });
    await raw.both("create table t (id int primary key)");
    expect(fixPreamble(await raw.layout())).toBe("set client_encoding = 'SQL_ASCII';\n");
  });
});
