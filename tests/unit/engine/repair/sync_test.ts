import { describe, expect, it } from "vitest";
import { holdTable } from "../../../../src/engine/repair/sync.ts";
import { openSides } from "./_sides.ts";

describe("a table that changes between the snapshot and the first look at it", () => {
  const KINDS = {
    "plain": "create table t (id integer primary key, v integer)",
    "partitioned":
      "create table t (id integer primary key, v integer) partition by list (id); create table p partition of t default",
  };
  for (const [kind, schema] of Object.entries(KINDS)) {
    for (
      const change of [
        "truncate t",
        "alter table t alter v type text",
        "drop table t; create table t (id integer primary key, v integer)",
      ]
    ) {
      it(`is refused when it is ${kind}, after: ${change}`, async () => {
        const sides = await openSides();
        await sides.both(`${schema}; insert into t select i, i from generate_series(1, 9) i`);
        const layout = await sides.layout();
        const { source, target } = sides;
        await source.exec("begin isolation level repeatable read read only; select 1");
        await holdTable(source, layout.source);
        await source.exec("rollback");
        await source.exec("begin isolation level repeatable read read only; select 1");
        await target.exec("begin isolation level repeatable read read only; select 1");
        const other = await sides.another("source");
        await other.exec(change);
        // What would be taken for a table whose rows are all gone.
        expect(await source.query("select 1 from t limit 1")).toEqual([]);
        await expect(holdTable(source, layout.source)).rejects.toThrow("rewritten, truncated or made anew");
        await holdTable(target, layout.target);
        expect(await target.query("select 1 from t limit 1")).toHaveLength(1);
        other.destroy();
        await sides.close();
      });
    }
  }

  it("is held as it is from then on, and may be written, analyzed and vacuumed before", async () => {
    const sides = await openSides();
    await sides.both("create table t (id integer primary key); insert into t values (1)");
    const layout = await sides.layout();
    const { source } = sides;
    const other = await sides.another("source");
    await source.exec("begin isolation level repeatable read read only; select 1");
    await other.exec("insert into t values (2)");
    await other.exec("vacuum analyze t");
    await holdTable(source, layout.source);
    await expect(other.exec("set lock_timeout = 50; truncate t")).rejects.toThrow("lock timeout");
    expect(await source.query("select 1 from t")).toHaveLength(1);
    other.destroy();
    await sides.close();
  });
});
