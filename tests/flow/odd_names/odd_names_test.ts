/** Names and values that a replication written in a hurry gets wrong: each goes through the copy and through replay. */
import { beforeAll, describe, expect, it } from "vitest";
import { ident } from "../../harness/cluster.ts";
import { lendDatabases } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

/** 63 bytes, the longest name there is. */
const LONG_NAME = "größe_der_日本語の表_🐘_with_so_many_bytes_in_it_xxxxx";

const NAMES: readonly { schema: string; table: string; key: string[]; column: string }[] = [
  { schema: "Upper Case", table: "Orders", key: ["Id"], column: "Some Value" },
  { schema: "public", table: "dotted.name.twice", key: ["a.b"], column: "c.d" },
  { schema: "public", table: `quo"ted 'both' ways`, key: [`"`, `'`], column: `a"b'c` },
  { schema: "public", table: LONG_NAME, key: [LONG_NAME], column: LONG_NAME.slice(0, -1) },
  { schema: "select", table: "table", key: ["user", "order"], column: "null" },
  { schema: "public", table: "a&b=c%25+d", key: ["k%2c&k"], column: "v=v+v" },
  { schema: "public", table: "back\\slash\ttab", key: ["new\nline"], column: "per%cent" },
  { schema: "public", table: " leading and trailing ", key: [" "], column: "," },
  { schema: "public", table: "$1", key: ["$2"], column: "$$" },
];

/** Type, then values that it has to keep; every type also sees NULL. `minMajor`: the first server that has the type. */
const TYPES: readonly { type: string; values: string[]; minMajor?: number }[] = [
  { type: "boolean", values: ["true", "false"] },
  { type: "smallint", values: ["-32768", "32767"] },
  { type: "integer", values: ["-2147483648", "2147483647"] },
  { type: "bigint", values: ["-9223372036854775808", "9223372036854775807"] },
  { type: "numeric", values: ["'NaN'", "1e-300", "123456789012345678901234567890.000000000012300"] },
  { type: "numeric", values: ["'Infinity'", "'-Infinity'"], minMajor: 14 },
  { type: "numeric(12,3)", values: ["-0.001", "999999999.999"] },
  { type: "real", values: ["'NaN'", "'Infinity'", "1e-45", "3.4028235e38", "'-0'"] },
  { type: "double precision", values: ["'-Infinity'", "5e-324", "0.1", "1.7976931348623157e308"] },
  { type: "money", values: ["'-92233720368547758.08'", "'1.50'"] },
  {
    type: "text",
    values: [
      "''",
      "' '",
      "E'\\\\N'",
      "E'\\\\.'",
      "E'a\\tb\\nc\\rd\\be\\ff\\vg\\\\h'",
      "'null'",
      "'NULL'",
      "'100% & 1=1 + %41'",
      "'it''s'",
      "'日本語🐘'",
    ],
  },
  { type: "varchar(10)", values: ["''", "'ten chars!'"] },
  { type: "char(5)", values: ["'ab'", "''", "'  c'"] },
  { type: '"char"', values: ["'x'", "''"] },
  { type: "name", values: ["'some name'"] },
  { type: "bytea", values: ["''", "'\\x00'", "'\\x00ff5c27270a0d0925262b3d'"] },
  { type: "date", values: ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'"] },
  { type: "time", values: ["'24:00:00'", "'00:00:00.000001'"] },
  { type: "timetz", values: ["'23:59:59.999999+15:59'"] },
  { type: "timestamp", values: ["'infinity'", "'0044-03-15 12:00:00.5 BC'"] },
  { type: "timestamptz", values: ["'-infinity'", "'2025-03-30 02:30:00.123456 Europe/Berlin'"] },
  { type: "interval", values: ["'1 year -2 months 3 days -04:05:06.000007'", "'-178000000 years'"] },
  { type: "uuid", values: ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"] },
  { type: "json", values: ['\'{"a" : [1, 2.50, null], "a":"twice"}\'', "'null'", "'\"\\u00e9 \\\\n\"'"] },
  { type: "jsonb", values: ['\'{"b": {"c": "100%&="}, "a": [1e3, true]}\'', "'null'"] },
  { type: "jsonpath", values: ["'$.a[*] ? (@ > 1)'"] },
  { type: "bit(5)", values: ["B'10101'"] },
  { type: "bit varying", values: ["B''", "B'1011'"] },
  { type: "inet", values: ["'::1/64'", "'192.168.0.1'"] },
  { type: "cidr", values: ["'10.0.0.0/8'"] },
  { type: "macaddr", values: ["'08:00:2b:01:02:03'"] },
  { type: "macaddr8", values: ["'08:00:2b:01:02:03:04:05'"] },
  { type: "point", values: ["'(1.5,-2)'"] },
  { type: "line", values: ["'{1,2,3}'"] },
  { type: "lseg", values: ["'[(0,0),(1,1)]'"] },
  { type: "box", values: ["'(1,1),(0,0)'"] },
  { type: "path", values: ["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"] },
  { type: "polygon", values: ["'((0,0),(1,1),(2,0))'"] },
  { type: "circle", values: ["'<(1,2),3>'"] },
  { type: "tsvector", values: ["'''it''''s'':1A fat:2,4 cat:3'"] },
  { type: "tsquery", values: ["'fat & (rat | !cat:*)'"] },
  { type: "pg_lsn", values: ["'16/B374D848'"] },
  { type: "oid", values: ["4294967295"] },
  { type: "int4range", values: ["'empty'", "'[1,)'"] },
  { type: "tstzrange", values: ["'(-infinity,\"2025-01-01 00:00:00+00\"]'"] },
  { type: "numrange", values: ["'[1.5,2.50)'"] },
  { type: "int4multirange", values: ["'{}'", "'{[1,3),[5,)}'"], minMajor: 14 },
  { type: "integer[]", values: ["'{}'", "'{1,NULL,-3}'", "'[2:3][0:1]={{1,2},{3,4}}'"] },
  { type: "text[]", values: [`array['a,b', '"', '\\', '', null, 'NULL', '{}', '%&=+', E'\\n']`] },
  { type: "jsonb[]", values: ['array[\'{"a":"b\\"c"}\'::jsonb, null]'] },
  { type: "bytea[]", values: ["array['\\x00'::bytea, '\\x5c22']"] },
  { type: "timestamptz[]", values: ["array[timestamptz 'infinity', '2025-01-01 00:00:00+00']"] },
  { type: "mood", values: ["'it''s, \"fine\"'"] },
  { type: "mood[]", values: ["array['it''s, \"fine\"', 'sad']::mood[]"] },
  { type: "positive", values: ["42"] },
  { type: "positive[]", values: ["'{1,2}'"] },
  { type: "pair", values: [`row('a "quoted", text', null)`, "row('', '(1,2)')", "row(null, null)"] },
  { type: "pair[]", values: [`array[row('a,b', 'x''y')::pair, null, row('', null)::pair]`] },
  { type: "floatrange", values: ["'[1.5,2.5)'"] },
];

const TYPE_SETUP = `
  create type mood as enum ('sad', 'it''s, "fine"');
  create domain positive as integer check (value > 0);
  create type pair as (left_side text, "Right, Side" text);
  create type floatrange as range (subtype = float8);`;

const SHAPES = `
  create table generated (id integer generated always as identity primary key, a integer not null,
                          twice integer generated always as (a * 2) stored, n bigint generated by default as identity);
  create table fixed (id integer primary key, v text, n bigint generated always as identity);
  create table paired (k pair primary key, v text);
  create table nothing_but (id integer generated always as identity primary key);
  create table swap (id integer primary key, place integer unique, late integer unique deferrable initially immediate);
  create table multi (a text, b integer, c date, v text, primary key (c, a, b));
  create table only_key (a integer, b text, primary key (a, b));
  create table short (id integer primary key, v text);
  create table fat (id integer primary key, v text, w bytea);
  create table defaults (id integer primary key, v text default 'not this', n integer default 7);
  create sequence "Odd ""Sequence.1";
  create sequence down increment -5 start -100;
  create sequence small as smallint;
  create sequence narrow maxvalue 105;`;
const SHAPE_TABLES = [
  "generated",
  "fixed",
  "paired",
  "nothing_but",
  "swap",
  "multi",
  "only_key",
  "short",
  "fat",
  "defaults",
];

describe("odd names and values", () => {
  let job: Job;
  let types: typeof TYPES;

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    // Sequences are looked at when the queue's other maintenance is done.
    job = new Job({ provider, subscriber, settings: { maint_period: "1" } });
    types = TYPES.filter(({ minMajor = 0 }) => provider.cluster.major >= minMajor);
    const typeColumns = types.map(({ type }, index) => `v${index} ${type}`).join(", ");
    for (const database of [provider, subscriber]) {
      for (const { schema, table, key, column } of NAMES) {
        const keys = key.map((name) => `${ident(name)} integer`).join(", ");
        await database.sql(
          `create schema if not exists ${ident(schema)};
           create table ${ident(schema)}.${ident(table)}
             (${keys}, ${ident(column)} text, primary key (${key.map(ident).join(", ")}))`,
        );
      }
      await database.sql(TYPE_SETUP);
      await database.sql(`create table types (id integer primary key, ${typeColumns}); ${SHAPES}`);
    }
    await job.install();
    job.startReplay();
    return () => job[Symbol.asyncDispose]();
  });

  const sqlName = ({ schema, table }: { schema: string; table: string }) => `${ident(schema)}.${ident(table)}`;

  it("the longest name is as long as a name can be", () => {
    expect(new TextEncoder().encode(LONG_NAME).length).toBe(63);
  });

  it("odd names are copied and replayed", async () => {
    const write = (first: number) =>
      NAMES.map((entry) => {
        const keys = entry.key.map((_, index) => `n + ${first} + ${index}`).join(", ");
        return `insert into ${sqlName(entry)} select ${keys}, 'row ' || n from generate_series(1, 10) n;`;
      }).join("\n");
    await job.provider.sql(write(0));
    // As typed in a shell: schema, dot, name. "public" may be left out only where the name has no dot of its own.
    await job.add(...NAMES.map(({ schema, table }) => `${schema}.${table}`));
    await job.allOk();
    expect(await job.differences(...NAMES.map(sqlName))).toEqual([]);

    await job.provider.sql(write(100));
    await job.provider.sql(
      NAMES.map((entry) => {
        const [table, key, column] = [sqlName(entry), ident(entry.key[0]!), ident(entry.column)];
        return `update ${table} set ${column} = null where ${key} = 3;
          update ${table} set ${column} = 'ch''anged & 100%' where ${key} > 104;
          update ${table} set ${key} = ${key} + 1000 where ${key} in (5, 106);
          delete from ${table} where ${key} in (1, 110);`;
      }).join("\n"),
    );
    await job.caughtUp();
    expect(await job.differences(...NAMES.map(sqlName))).toEqual([]);
    expect(Number(await job.subscriber.sql(`select count(*) from ${sqlName(NAMES[0]!)}`))).toBe(18);
  });

  it("values of all types are copied and replayed", async () => {
    const longest = Math.max(...types.map(({ values }) => values.length));
    /** One row per place in the lists of values: shorter lists begin again. */
    const rows = (first: number) =>
      Array.from({ length: longest }, (_, place) => {
        const values = types.map(({ type, values }) => `(${values[place % values.length]})::${type}`);
        return `insert into types values (${first + place}, ${values.join(", ")});`;
      }).join("\n") + `insert into types (id) values (${first + longest});`;
    await job.provider.sql(rows(0));
    await job.add("types");
    await job.allOk();
    expect(await job.differences("types")).toEqual([]);

    await job.provider.sql(rows(100));
    await job.caughtUp();
    expect(await job.differences("types")).toEqual([]);

    // Everything to NULL, NULL to everything, one value to another; each column alone as well.
    const columns = types.map((_, index) => `v${index}`);
    await job.provider.sql(`
      update types t set (${columns.join(", ")}) = (select ${
      columns.join(", ")
    } from types where id = ${longest}) where id = 0;
      update types t set (${columns.join(", ")}) = (select ${
      columns.join(", ")
    } from types where id = 0 + 2) where id in (${longest}, 101);
      ${
      columns.map((column, index) =>
        `update types set ${column} = (${types[index]!.values[0]})::${types[index]!.type} where id = 103;`
      ).join("\n")
    }
      ${columns.map((column) => `update types set ${column} = null where id = 104;`).join("\n")}
      delete from types where id = 1;`);
    await job.caughtUp();
    expect(await job.differences("types")).toEqual([]);
    expect(Number(await job.subscriber.sql("select count(*) from types"))).toBe(2 * longest + 1);
  });

  it("shapes of tables are copied", async () => {
    await job.provider.sql(`
      insert into generated (a) select n from generate_series(1, 10) n;
      insert into swap select n, n, n from generate_series(1, 10) n;
      insert into multi select 'k' || n, n, date '2025-01-01' + n, 'v' from generate_series(1, 10) n;
      insert into only_key select n, 'b' from generate_series(1, 10) n;
      insert into short values (1, ''), (2, null), (3, 'x');
      insert into fat select 1, repeat('0123456789', 1000000), null;
      insert into defaults values (1, null, null);`);
    await job.add(...SHAPE_TABLES);
    await job.allOk();
    expect(await job.differences(...SHAPE_TABLES)).toEqual([]);
  });

  it("an identity that no update may set is followed, also where it changes", async () => {
    await job.provider.sql(`
      insert into fixed (id, v) select n, 'v' from generate_series(1, 100) n;
      insert into nothing_but default values;
      insert into nothing_but default values`);
    await job.caughtUp();
    await job.provider.sql(`
      update fixed set v = 'w' where id <= 60;
      update fixed set n = default, v = 'x' where id = 7;
      update fixed set id = 1000 where id = 8;
      update nothing_but set id = default where id = 1;
      delete from nothing_but where id = 2`);
    await job.caughtUp();
    expect(await job.differences("fixed", "nothing_but")).toEqual([]);
  });

  it("a key that is a row of values is found", async () => {
    await job.provider.sql(
      "insert into paired values (row('a', 'b'), '1'), (row('a', null), '2'), (row('', '(,)'), '3')",
    );
    await job.caughtUp();
    await job.provider.sql(`
      update paired set v = v || '!';
      update paired set k = row('c', 'd') where v = '1!';
      delete from paired where k = row('', '(,)')::pair`);
    await job.caughtUp();
    expect(await job.differences("paired")).toEqual([]);
  });

  it("generated and identity columns, and columns with defaults, keep the provider's values", async () => {
    await job.provider.sql(`
      insert into generated (a) values (100), (200);
      update generated set a = a + 1 where id <= 3;
      insert into generated (id, a) overriding system value values (-1, 1);
      update generated set id = default where id = -1;
      delete from generated where id = 4;
      insert into defaults values (2, null, null), (3, '', 0);
      update defaults set v = null where id = 3;`);
    await job.caughtUp();
    expect(await job.differences("generated", "defaults")).toEqual([]);
  });

  it("keys that change and unique values that change hands, inside one transaction", async () => {
    await job.provider.sql(`
      begin;
      update swap set place = -1 where id = 1; update swap set place = 1 where id = 2; update swap set place = 2 where id = 1;
      commit;
      begin;
      update swap set late = 11 - late;
      commit;
      begin;
      update swap set id = -1 where id = 3; update swap set id = 3 where id = 4; update swap set id = 4 where id = -1;
      delete from swap where id = 5; insert into swap values (5, 6000, 5000);
      delete from swap where id = 6; insert into swap values (60, 6, 6000);
      commit;
      begin;
      update multi set b = b + 100, c = c + 1000 where b <= 5;
      update multi set a = 'k1', v = null where b = 6;
      delete from multi where b = 7; insert into multi values ('k7', 7, date '2025-01-08', 'again');
      update only_key set b = 'B' where a < 4; update only_key set a = a where a = 5; delete from only_key where a = 6;
      commit;`);
    await job.caughtUp();
    expect(await job.differences("swap", "multi", "only_key")).toEqual([]);
  });

  it("the empty string is not NULL", async () => {
    await job.provider.sql(`
      insert into short values (4, ''), (5, null);
      update short set v = null where id = 1; update short set v = '' where id = 2;`);
    await job.caughtUp();
    expect(await job.differences("short")).toEqual([]);
    expect((await job.subscriber.sql("select id, v is null, v from short order by id")).trim().split("\n")).toEqual(
      ["1|t|", "2|f|", "3|f|x", "4|f|", "5|t|"],
    );
  });

  it("TRUNCATE, between changes of the same batch", async () => {
    await job.provider.sql(`
      begin; insert into short values (10, 'goes'); truncate short; insert into short values (11, 'stays'), (1, 'again'); commit;
      begin; update short set v = 'changed' where id = 11; savepoint s; truncate short; rollback to s; commit;`);
    await job.caughtUp();
    expect(await job.differences("short")).toEqual([]);
    expect(Number(await job.subscriber.sql("select count(*) from short"))).toBe(2);
  });

  it("rows of 10 MB and more, in any place of a batch", async () => {
    await job.provider.sql(`
      begin;
      insert into fat values (2, repeat('%&=+ ', 2000000), null);
      insert into fat values (3, 'small', null), (4, 'small', '\\x00');
      update fat set v = repeat(E'a\\nb\\tc''\\\\', 1000000) where id = 1;
      insert into fat values (5, '', decode(repeat('00ff27', 3000000), 'hex'));
      commit;
      delete from fat where id = 2;`);
    await job.caughtUp(120_000);
    expect(await job.differences("fat")).toEqual([]);
    expect(Number(await job.subscriber.sql("select length(v) from fat where id = 1"))).toBe(7_000_000);
  });

  /** Registers sequences on both sides and waits until the subscriber's satisfy the condition. */
  async function expectSequences(names: string[], condition: string): Promise<void> {
    await job.run("provider", "add-seq", "conf.ini", ...names);
    await job.run("subscriber", "add-seq", "conf.ini", ...names);
    expect((await job.run("subscriber", "seqs", "conf.ini")).trim().split("\n")).toEqual(expect.arrayContaining(names));
    await expectOnSubscriber(condition);
  }

  async function expectOnSubscriber(condition: string): Promise<void> {
    await waitFor(async () => (await job.subscriber.sql(`select ${condition}`)).trim() === "t", {
      what: condition,
      pollMs: 100,
    });
  }

  it("sequences with odd names, also when many numbers are taken at once", async () => {
    const odd = `"Odd ""Sequence.1"`;
    await job.provider.sql(`select nextval('${odd}') from generate_series(1, 1000)`);
    await expectSequences([`public.Odd "Sequence.1`], `last_value >= 1000 from ${odd}`);
    await job.provider.sql(`select nextval('${odd}') from generate_series(1, 100000)`);
    await expectOnSubscriber(`last_value >= 101000 from ${odd}`);
  });

  it("sequences that run down or have little room", async () => {
    await job.provider.sql(`
      select nextval('down') from generate_series(1, 10);
      select nextval('small') from generate_series(1, 100);
      select nextval('narrow') from generate_series(1, 100);`);
    await expectSequences(["public.down", "public.small", "public.narrow"], "last_value <= -145 from down");
    await expectOnSubscriber("last_value between 100 and 10000 from small");
    await expectOnSubscriber("last_value between 100 and 105 from narrow");
    await job.provider.sql("insert into short values (100, 'after the sequences')");
    await job.caughtUp();
    expect(await job.differences("short")).toEqual([]);
  });
});
