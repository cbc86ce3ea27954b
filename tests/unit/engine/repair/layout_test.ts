import { beforeAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../../src/base/errors.ts";
import { openSides, type Sides } from "./_sides.ts";

describe("readLayout()", () => {
  let sides: Sides;
  beforeAll(async () => {
    sides = await openSides();
  });

  async function make(source: string, target = source): Promise<void> {
    await sides.both("drop schema public cascade; create schema public");
    await sides.source.exec(source);
    await sides.target.exec(target);
  }

  async function failure(options: Parameters<Sides["layout"]>[0] = {}): Promise<SkyqError> {
    const error = await sides.layout(options).then(() => null, (error) => error);
    expect(error).toBeInstanceOf(SkyqError);
    return error;
  }

  it("takes the key in the order of its index, then the common columns in the source's order", async () => {
    await make(
      "create table t (x int, b int, here text, a int, y int, primary key (a, b))",
      "create table t (y int, there text, a int, b int, x int, primary key (a, b))",
    );
    const layout = await sides.layout();
    expect(layout.key.map((column) => column.name)).toEqual(["a", "b"]);
    expect(layout.columns.map((column) => column.name)).toEqual(["a", "b", "x", "y"]);
    expect([layout.sourceOnly, layout.targetOnly]).toEqual([["here"], ["there"]]);
    expect(layout.warnings).toEqual([
      "public.t: ignoring columns that only the provider has: here",
      "public.t: ignoring columns that only the subscriber has: there",
    ]);
    const without = await sides.layout({ ignoreColumns: ["x", "here", "there"] });
    expect(without.columns.map((column) => column.name)).toEqual(["a", "b", "y"]);
    expect(without.warnings).toEqual([]);
  });

  it("finds the key in a unique index where there is no primary key", async () => {
    const key = async () => (await sides.layout()).key.map((column) => column.name).join();
    await make("create table t (a int unique, b int not null unique, c int)");
    expect(await key()).toBe("b");
    await make(
      "create table t (a int unique, b int, c int not null); create unique index on t (c) where a > 0; create unique index on t ((c + 1))",
    );
    expect(await key()).toBe("a");
    // A primary key here, only a unique index there.
    await make(
      "create table t (a int primary key, b int not null unique)",
      "create table t (a int not null, b int not null unique); create unique index on t (a) include (b)",
    );
    expect(await key()).toBe("a");
    await make(
      "create table t (a int primary key, b int not null unique)",
      "create table t (a int, b int not null unique)",
    );
    expect(await key()).toBe("b");
  });

  it("walks a unique key with NULLs as long as it tells rows apart", async () => {
    await make(
      "create table t (a int, b int, unique (a, b)); insert into t values (1, 1), (1, 2), (null, 1), (null, 3), (2, null)",
    );
    await sides.target.exec("delete from t where a is null and b = 1; update t set b = 7 where a = 2");
    const walked = await sides.walk();
    expect(walked.shown).toEqual(["-2|7", "+2|NULL", "+NULL|1"]);
    const { key } = walked.differences[1]!;
    expect((await sides.walk({ range: { after: key } })).shown).toEqual(["+NULL|1"]);
    expect((await sides.walk({ range: { upTo: key } })).shown).toEqual(["-2|7", "+2|NULL"]);
    const last = walked.differences[2]!.key;
    expect((await sides.walk({ range: { after: key, upTo: last } })).shown).toEqual(["+NULL|1"]);
    expect((await sides.walk({ range: { after: last } })).counts.sourceRows).toBe(1);
    await sides.both("insert into t values (null, 3)");
    await expect(sides.walk()).rejects.toThrow("rows are not in order at (a, b) = (NULL, '3')");
  });

  it("refuses tables without a key or with others, and says what there is", async () => {
    await make("create table t (a int, b int); create view v as select 1 as a; create table p (a int primary key)");
    expect((await failure()).message).toBe(`Cannot compare table "public.t": the provider's table has no primary key`);
    await make("create table t (a int primary key, b int)", "create table t (a int, b int)");
    expect((await failure()).message).toBe(
      `Cannot compare table "public.t": the subscriber's table has no primary key`,
    );
    await make("create table t (a int primary key, b int)", "create table t (a int, b int primary key)");
    const unlike = await failure();
    expect([unlike.fault, unlike.message, unlike.hint]).toEqual([
      "structure",
      `Cannot compare table "public.t": pkeys do not match`,
      "The provider's is (a), the subscriber's (b).",
    ]);
  });

  it("refuses what is no table, and columns that cannot be left out", async () => {
    await make("create table t (a int primary key, b int); create view v as select 1 as a");
    const shown = async (options: Parameters<Sides["layout"]>[0]) => {
      const { fault, message } = await failure(options);
      return `${fault}: ${message}`;
    };
    expect(await shown({ sourceTable: "public.x" })).toBe(
      `not-found: Cannot compare table "public.x": no such table on the provider`,
    );
    expect(await shown({ targetTable: "public.v", sideNames: { source: "source", target: "target" } }))
      .toBe(`not-found: Cannot compare table "public.v": on the target it is a view`);
    expect(await shown({ ignoreColumns: ["c"] })).toBe(
      `usage: Cannot compare table "public.t": no side has a column "c" to leave out`,
    );
    expect(await shown({ ignoreColumns: ["a"] }))
      .toBe(`usage: Cannot compare table "public.t": column "a" is of the key, and cannot be left out`);
  });

  it("takes timestamps with and without zone for the same, in the zone of the side that has one", async () => {
    await make(
      "create table t (k timestamptz primary key, v timestamptz); insert into t values ('2024-01-01 12:00+00', '2024-07-01 00:00:00.5+05:30'), ('0044-03-15 BC', null)",
      "create table t (k timestamp primary key, v timestamp); insert into t values ('2024-01-01 12:00', '2024-06-30 18:30:00.5'), ('0044-03-15 BC', null)",
    );
    expect((await sides.walk()).shown).toEqual([]);
    expect((await sides.layout()).warnings.length).toBe(2);
    await sides.source.exec("set timezone = 'Asia/Kolkata'");
    expect((await sides.walk()).counts).toMatchObject({ updates: 0, inserts: 2, deletes: 2 });
    await sides.target.exec(
      "update t set k = k + interval '5:30', v = v + interval '5:30' where k > '2000-01-01'; update t set k = k + interval '5:53:28' where k < '2000-01-01'",
    );
    expect((await sides.walk()).shown).toEqual([]);
    await sides.target.exec("update t set v = v + interval '1 us' where v is not null");
    expect((await sides.walk()).shown).toEqual(["~2024-01-01 17:30:00"]);
    await sides.source.exec("reset timezone");
  });

  it("compares keys of other types on either side", async () => {
    await make(
      "create table t (a int, b numeric, c varchar(9), d char(3), e uuid, primary key (a, b, c, d, e)); " +
        "insert into t select i % 3, i, 'x' || i, 'd' || i % 7, md5(i::text)::uuid from generate_series(1, 300) i",
      "create table t (a bigint, b int, c text, d char(5), e text, primary key (a, b, c, d, e)); " +
        "insert into t select i % 3, i, 'x' || i, 'd' || i % 7, md5(i::text)::uuid from generate_series(1, 300) i",
    );
    expect((await sides.walk()).shown).toEqual([]);
    await sides.target.exec("delete from t where b = 77");
    const walked = await sides.walk();
    expect(walked.shown.length).toBe(1);
    const range = { after: walked.differences[0]!.key };
    const rest = await sides.walk({ range });
    expect([rest.shown, rest.counts.sourceRows]).toEqual([[], rest.counts.targetRows]);
    expect((await sides.walk({ range: { upTo: range.after } })).counts.sourceRows).toBe(300 - rest.counts.sourceRows);
  });

  it("reads a partitioned table's rows, and of a parent only its own", async () => {
    const parts = "create table t (a int primary key, v text) partition by range (a); " +
      "create table t1 partition of t for values from (0) to (100); create table t2 partition of t for values from (100) to (200)";
    await make(`${parts}; insert into t select i, 'x' from generate_series(0, 199) i`);
    await sides.target.exec("delete from t where a = 150; update t set v = 'y' where a = 50");
    const walked = await sides.walk();
    expect([walked.counts.sourceRows, walked.shown]).toEqual([200, ["~50", "+150"]]);
    await make(
      `${parts}; insert into t values (5, 'x')`,
      "create table t (a int primary key, v text); insert into t values (5, 'x')",
    );
    expect((await sides.walk()).counts).toMatchObject({ sourceRows: 1, targetRows: 1, updates: 0 });
    await make(
      "create table t (a int primary key); create table child () inherits (t); insert into t values (1); insert into child values (2)",
    );
    expect((await sides.walk()).counts.sourceRows).toBe(1);
  });

  it("reads tables and columns whatever they are called", async () => {
    const name = "T.\"'\\ä, x";
    const create = `create table "${
      name.replaceAll('"', '""')
    }" ("K""\\'" int, "select" text, "Ä ö" text, primary key ("K""\\'"))`;
    await make(`${create}; insert into "${name.replaceAll('"', '""')}" values (1, 'a', null)`);
    await sides.target.exec(`update "${name.replaceAll('"', '""')}" set "select" = 'b'`);
    const tables = { sourceTable: `public.${name}`, targetTable: `public.${name}` };
    expect((await sides.walk(tables)).shown).toEqual(["~1"]);
  });

  it("says which orders a server has an index for", async () => {
    await make(
      `create table t (a int, b text, c text collate "und-x-icu", d inet, e timestamptz, f float4, primary key (a, b, c, d, e, f))`,
    );
    const { key } = await sides.layout();
    expect(key.map((column) => [column.order, column.isNative.source])).toEqual([
      ["integer", true],
      ["bytes", true],
      ["bytes", false],
      ["bytes", false],
      ["time", true],
      ["decimal", true],
    ]);
    // And the planner agrees that nothing is to be sorted.
    await make(
      "create table t (a int, b text, c uuid, v text, primary key (a, b, c)); insert into t select i, i, md5(i::text)::uuid from generate_series(1, 9000) i; analyze t",
    );
    const { readStatement } = await import("../../../../src/engine/repair/order.ts");
    const select = /\((select .*)\) to stdout$/.exec(readStatement(await sides.layout(), "source"))![1]!;
    const plan = await sides.source.query<{ "QUERY PLAN": string }>(`explain ${select}`);
    expect(plan[0]!["QUERY PLAN"]).toContain("Index Scan using t_pkey");
  });
});
