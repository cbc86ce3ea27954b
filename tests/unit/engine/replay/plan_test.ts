import { describe, expect, it } from "vitest";
import { keyNames } from "../../../../src/engine/replay/parts.ts";
import { makePlan } from "../../../../src/engine/replay/plan.ts";
import type { TargetColumn, TargetTable } from "../../../../src/engine/replay/target_table.ts";

function column(name: string, more: Partial<TargetColumn> = {}): [string, TargetColumn] {
  return [name, {
    name,
    castType: '"pg_catalog"."int4"',
    isCanonicalText: true,
    hasOwnTextCast: false,
    isGenerated: false,
    isFixed: false,
    ...more,
  }];
}

function target(...columns: [string, TargetColumn][]): TargetTable {
  return {
    name: "public.t",
    fingerprint: "1",
    sql: '"public"."t"',
    onlySql: 'only "public"."t"',
    columns: new Map(columns),
  };
}

describe("makePlan()", () => {
  it("quotes names and gives each statement the parameters the codec sends", () => {
    const plan = makePlan("public.t", target(column('I"d'), column("v")), ["v", 'I"d'], ['I"d']);
    expect(plan.copySql).toBe('copy "public"."t" ("v", "I""d") from stdin');
    expect(plan.updateOne.sql).toBe(
      'update only "public"."t" as t set "v" = $1 where t."I""d" = $2::"pg_catalog"."int4"',
    );
    expect(plan.deleteOne.sql).toBe('delete from only "public"."t" as t where t."I""d" = $1::"pg_catalog"."int4"');
    expect(plan.updateMany!.sql).toContain('set "v" = s.c1::"pg_catalog"."int4"');
    expect(plan.updateMany!.sql).toContain('where t."I""d" = s.c2::"pg_catalog"."int4"');
  });

  it("leaves generated columns out of what it writes", () => {
    const plan = makePlan("public.t", target(column("id"), column("g", { isGenerated: true })), ["id", "g"], ["id"]);
    expect(plan.columns).toEqual([{ name: "id", key: true, skip: false }, { name: "g", key: false, skip: true }]);
    expect(plan.insertOne.sql).not.toContain('"g"');
    expect(plan.updateMany).toBeNull();
  });

  it("goes event by event where key bytes are not the key", () => {
    const columns = target(column("id", { isCanonicalText: false }), column("v"));
    expect(makePlan("public.t", columns, ["id", "v"], ["id"]).mustBeOrdered).toBe(true);
  });

  it("upsert: a row of the event's key gives way, whatever event it is", () => {
    const columns = target(column("v"), column("id"), column("g", { isGenerated: true }));
    const plan = makePlan("public.t", columns, ["v", "id", "g"], ["id"], { upsert: true });
    const sql = 'insert into "public"."t" ("v", "id") overriding system value values ($1, $2) ' +
      'on conflict ("id") do update set "v" = excluded."v"';
    expect([plan.insertOne.sql, plan.updateOne.sql]).toEqual([sql, sql]);
    expect(makePlan("public.t", target(column("id")), ["id"], ["id"], { upsert: true }).updateOne.sql).toMatch(
      /on conflict \("id"\) do nothing$/,
    );
    // Keys that are equal and look different: the row shows what the event says.
    const decimal = target(column("id", { isCanonicalText: false }));
    expect(makePlan("public.t", decimal, ["id"], ["id"], { upsert: true }).insertOne.sql).toMatch(
      /set "id" = excluded."id"$/,
    );
  });

  it("names the column that the subscriber lacks", () => {
    expect(() => makePlan("public.t", target(column("id")), ["id", "new col"], ["id"])).toThrow('no column "new col"');
  });

  it("passes over columns that are left out, unless they are of the key", () => {
    const leftOut = new Set(["gone", "k"]);
    const plan = makePlan("public.t", target(column("id"), column("v")), ["gone", "id", "v"], ["id"], { leftOut });
    expect(plan.columns.map(({ skip }) => skip)).toEqual([true, false, false]);
    expect(plan.copySql).toMatch(/\("id", "v"\)/);
    expect(() => makePlan("public.t", target(column("v")), ["k", "v"], ["k"], { leftOut })).toThrow('no column "k"');
  });

  it("refuses events without a key", () => {
    expect(() => makePlan("public.t", target(column("id")), ["id"], [])).toThrow("name no key column");
    expect(() => makePlan("public.t", target(column("id")), ["id"], ["k"])).toThrow('key column "k" is not in');
  });
});

describe("keyNames()", () => {
  it.each([
    ["a,b", ["a", "b", "v"], ["a", "b"]],
    ["a,b,c", ["a,b", "c", "v"], ["a,b", "c"]],
    ["", ["a"], []],
    ["x", ["a"], ["x"]],
  ])("%j of %j", (list, columns, expected) => expect(keyNames(list, columns)).toEqual(expected));
});
