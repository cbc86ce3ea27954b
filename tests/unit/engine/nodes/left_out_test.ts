import { describe, expect, it } from "vitest";
import { leaveOut, leftOut } from "../../../../src/engine/nodes/left_out.ts";

describe("leftOut()", () => {
  it("reads what leaveOut() has written, whatever the names hold", () => {
    const names = ["a", "b c", "d,e", "f&g=h", "%20", "ы"];
    expect([...leftOut({ table_attrs: leaveOut(names) })]).toEqual(names);
    expect([...leftOut({ table_attrs: `skip_truncate=1&${leaveOut(["x"])}` })]).toEqual(["x"]);
  });

  it("is empty where no such attribute is", () => {
    for (const table_attrs of [null, "", "skip_truncate=1", "skip_columns"]) {
      expect(leftOut({ table_attrs }).size).toBe(0);
    }
  });
});
