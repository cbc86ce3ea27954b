import { beforeAll, describe, expect, it } from "vitest";
import { fixStatement } from "../../../../src/engine/repair/fix.ts";
import { fromClause, pinSettings, whereClause } from "../../../../src/engine/repair/order.ts";
import { seeded } from "../../../harness/seed.ts";
import { openSides, type Sides } from "./_sides.ts";

const TEXTS = [
  "",
  " ",
  "  ",
  "a",
  "A",
  "a ",
  " a",
  "a\u0001",
  "a\t",
  "a\tb",
  "a\n",
  "a\\",
  "a\\t",
  "a\\\t",
  "\\",
  "\\\\",
  "\\N",
  "\\.",
  "\\t",
  "\t",
  "\n",
  "\r",
  "\v",
  "\f",
  "\b",
  "\u007f",
  "b",
  "aa",
  "aB",
  "ab",
  "a-b",
  "a b",
  "ä",
  "Ä",
  "z",
  "é",
  "e\u0301",
  "ß",
  "ss",
  "中",
  "文",
  "\u{10000}",
  "\uffff",
  "\ud7ff",
  "'",
  '"',
  "N",
  "10",
  "9",
  "a'b",
  "\ufeff",
]; // deno-fmt-ignore
const NUMBERS = ["0", "1", "-1", "9", "10", "-9", "-10", "99", "100", "127", "-128", "32767", "-32768"];
const TIMES = ["00:00:00", "00:00:00.5", "00:00:00.000001", "12:00:00", "23:59:59.999999", "12:00:00.05"];
const STAMPS = [
  "0001-01-01 00:00:00",
  "0001-01-01 00:00:00 BC",
  "0044-03-15 12:00:00 BC",
  "0044-03-16 BC",
  "0045-03-15 BC",
  "4713-01-01 00:00:00 BC",
  "2024-02-29 12:00:00",
  "2024-02-29 12:00:00.5",
  "2024-02-29 12:00:00.49",
  "9999-12-31",
  "10000-01-01",
  "294275-12-31",
  "1000-01-01",
  "infinity",
  "-infinity",
  "1969-12-31 23:59:59",
  "0100-01-01 BC",
]; // deno-fmt-ignore
const DATES = [...new Set(STAMPS.map((stamp) => stamp.replace(/ \d\d:\S+/, ""))), "5874896-01-01", "4712-12-31 BC"];
const FLOATS = [
  "0",
  "1",
  "-1",
  "0.1",
  "-0.1",
  "1e10",
  "1e-10",
  "-1e10",
  "-1e-10",
  "1.5e15",
  "1e15",
  "1e16",
  "123456789012",
  "NaN",
  "Infinity",
  "-Infinity",
  "3e-05",
  "0.0001",
  "1e20",
  "9.999e19",
  "2",
  "10",
  "1e-30",
  "1.1e-30",
  "3.4e37",
]; // deno-fmt-ignore
const DECIMALS = [
  "0", "0.0001", "-0.0001", "1.0", "-1", "1.01", "10", "9.99", "99999999999999999999999999", "NaN", "0.1", "0.10001",
  "1e30", "-1e30", "1e-30", "100.5", "100.49999", "-100.5", "0.00000000000000000000000001",
]; // deno-fmt-ignore

/** Type of the key, values that are all different in it. */
const KEYS: [type: string, values: readonly string[]][] = [
  ["smallint", NUMBERS],
  ["integer", [...NUMBERS, "2147483647", "-2147483648", "1000000", "999999"]],
  ["bigint", [...NUMBERS, "9223372036854775807", "-9223372036854775808", "123456789012345678"]],
  ["oid", ["0", "1", "9", "10", "4294967295", "2147483648"]],
  ["numeric", DECIMALS],
  ["numeric(30,4)", ["0", "1", "-1", "0.0001", "10", "9.99", "NaN", "-0.5"]],
  ["real", FLOATS],
  ["double precision", [...FLOATS, "1e300", "1e-300", "4.9e-324", "1.7976931348623157e308", "0.30000000000000004"]],
  ["money", ["0", "1", "-1", "10", "9.5", "1000000.25", "-1000000"]],
  ["text", TEXTS],
  ["varchar(20)", TEXTS],
  ['text collate "C"', TEXTS],
  ['text collate "und-x-icu"', TEXTS],
  ['varchar(9) collate "en-x-icu"', TEXTS],
  ["character(5)", TEXTS.filter((text) => !text.endsWith(" ") && [...text].length <= 5)],
  ['character(5) collate "en-x-icu"', TEXTS.filter((text) => !text.endsWith(" ") && [...text].length <= 5)],
  ["name", TEXTS],
  ['"char"', ["a", "b", "A", " ", "\t", "\\", "~"]],
  ["uuid", [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "90eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
  ]],
  ["bytea", ["", "\\x00", "\\x01", "\\x5c", "\\x6162", "\\x61", "\\xff", "\\x7f", "\\x80", "\\xff00", "\\x0a"]],
  ["boolean", ["true", "false"]],
  ["bit(4)", ["0000", "0001", "1000", "1111", "0101"]],
  ["bit varying", ["", "0", "1", "00", "01", "10", "100000001", "11", "1000000", "10000000", "011111111"]],
  ["date", DATES],
  ["timestamp", STAMPS],
  ["timestamp(0)", STAMPS.filter((stamp) => !stamp.includes("."))],
  ["timestamptz", [...STAMPS, "2024-02-29 12:00:00+05:30", "1883-11-18 12:00:00-04:56:02"]],
  ["time", TIMES],
  ["time", ["24:00:00", "23:59:59"]],
  ["timetz", ["12:00:00+00", "12:00:00+05", "11:00:00-02", "00:00:00-15:59", "23:00:00+15:59", "12:00:00.5+05:30"]],
  ["interval", ["0", "1 mon", "31 days", "1 year", "-1 day", "01:00:00", "-00:00:01", "1 year 2 mons -3 days 04:05:06.7"]],
  ["inet", ["10.0.0.1", "10.0.0.0/8", "9.255.255.255", "::1", "fe80::1", "192.168.1.1/24", "10.0.0.1/31"]],
  ["cidr", ["10.0.0.0/8", "10.0.0.0/16", "9.0.0.0/8", "::/0", "fe80::/10"]],
  ["macaddr", ["08:00:2b:01:02:03", "ff:00:00:00:00:00", "00:00:00:00:00:0a", "a8:00:2b:01:02:03"]],
  ["macaddr8", ["08:00:2b:01:02:03:04:05", "ff:00:00:00:00:00:00:00", "00:00:00:00:00:0a:00:00"]],
  ["pg_lsn", ["0/0", "0/A", "0/10", "16/B374D848", "A/0", "10/0", "F/FFFFFFFF"]],
  ["jsonb", ["1", "10", "9", '"a"', "null", "[]", "{}", '{"a": 1}', '[1, "x"]', "true", '"b\\\\"']],
  ["integer[]", ["{}", "{1}", "{2}", "{10}", "{1,2}", "{NULL}", "{-1}", "{{1,2},{3,4}}", "[0:1]={1,2}"]],
  ["text[]", ['{}', '{""}', "{a}", '{"a b"}', "{NULL}", '{"NULL"}', '{"\\\\"}', '{"\t"}', "{ä,b}"]],
  ["int4range", ["empty", "[1,5)", "[1,)", "(,5)", "(,)", "[10,20)", "[2,3)"]],
  ["tsvector", ["", "a", "a:1 b:2", "'it''s'", "b"]],
  ["mood", ["sad", "ok", "happy", "Zen", "a b"]],
  ["pairs", ["(1,a)", "(1,b)", "(10,a)", "(2,)", "(,)", '(1,"a,b")', '(3,"\\\\")']],
  ["positive", ["1", "10", "9", "100", "2"]],
  ["code", ["b", "a", "B", "ä", "a b"]],
  ["regclass", ["pg_class", "pg_type", "mood_table", "t"]],
]; // deno-fmt-ignore

const SETUP = `
  create type mood as enum ('sad', 'ok', 'happy', 'Zen', 'a b');
  create type pairs as (a integer, b text);
  create domain positive as integer check (value > 0);
  create domain code as text collate "und-x-icu" not null;
  create table mood_table ();`;

describe("the servers' order and the merge's", () => {
  const random = seeded("the servers' order and the merge's");
  let sides: Sides;
  beforeAll(async () => {
    sides = await openSides();
    await sides.both(SETUP);
  });

  /** Fills both sides with the same rows, in another order each. */
  async function fill(key: string, values: readonly string[]): Promise<void> {
    await sides.both(`drop table if exists t; create table t (k ${key} primary key, v text)`);
    for (const db of [sides.source, sides.target]) {
      const shuffled = random.shuffle(values);
      const type = key.replace(/ collate .*/, "");
      await db.query(`insert into t select ('' || x)::${type}, x from unnest($1::text[]) as x`, [shuffled]);
    }
  }

  /** Every key cuts the rows in two, on either server: those up to it, and those behind it. */
  async function checkRanges(rowCount: number): Promise<void> {
    const { layout, differences } = await sides.walk({
      where: "pg_catalog.current_setting('cluster_name') = 'provider'",
    });
    expect(differences.map((one) => one.kind)).toEqual(differences.map(() => "insert"));
    expect(differences.length).toBe(rowCount);
    for (const side of ["source", "target"] as const) {
      await pinSettings(sides[side], layout);
      const counts = differences.flatMap(({ key }) =>
        [{ upTo: key }, { after: key }].map((range) =>
          `(select count(*) from ${fromClause(layout, side)}${whereClause(layout, side, { range })})`
        )
      );
      const [row] = await sides[side].query<{ counts: string }>(`select array[${counts.join(", ")}]::text as counts`);
      const wanted = differences.flatMap((_, index) => [index + 1, rowCount - index - 1]);
      expect([side, row!.counts]).toEqual([side, `{${wanted.join(",")}}`]);
      await sides[side].exec("discard all");
    }
  }

  for (const [type, values] of KEYS) {
    it(`agree on ${type} (${values.length} values)`, async () => {
      await fill(type, values);
      const same = await sides.walk();
      expect(same.shown).toEqual([]);
      expect(same.counts.sourceRows).toBe(values.length);
      expect(same.counts.targetRows).toBe(values.length);

      await checkRanges(values.length);

      // A row here and there away on either side, and one that is another.
      const [gone, surplus, changed] = random.shuffle(values);
      await sides.target.query("delete from t where v = $1", [gone!]);
      await sides.source.query("delete from t where v = $1", [surplus!]);
      if (changed !== undefined) await sides.target.query("update t set v = v || '!' where v = $1", [changed]);
      const walked = await sides.walk();
      expect(walked.shown.map((one) => one[0]).sort().join("")).toBe(changed === undefined ? "+-" : "+-~");
      await sides.apply(walked, fixStatement);
      expect((await sides.walk()).shown).toEqual([]);
    });
  }

  it("agree on keys of several columns", async () => {
    await sides.both(
      `drop table t; create table t (v text, a text collate "und-x-icu", b numeric, c timestamp, d bigint,
      primary key (d, a, c, b))`,
    );
    const rows = `insert into t select v, a, b, c, d from
      (select x % 7 - 3 as d, (array['', 'a', 'B', E'a\\t', 'ä', E'\\\\'])[x % 6 + 1] as a,
              (x % 5) * 0.5 as b, '2024-01-01'::timestamp + x % 11 * interval '1 s' as c, x::text as v
         from generate_series(1, 2310) as x order by random()) x`;
    await sides.both(rows);
    expect((await sides.walk()).counts).toEqual({
      sourceRows: 2310,
      targetRows: 2310,
      inserts: 0,
      updates: 0,
      deletes: 0,
    });
    await sides.target.exec("delete from t where v::int % 100 = 7; update t set v = 'x' where v::int % 100 = 8");
    const { counts } = await sides.walk();
    expect(counts).toMatchObject({ inserts: 24, updates: 24, deletes: 0 });
  });
});
