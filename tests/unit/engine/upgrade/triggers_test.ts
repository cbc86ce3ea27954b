import { describe, expect, it } from "vitest";
import { attributeArgs } from "../../../../src/engine/upgrade/triggers.ts";

const columns = [{ name: "id", isKey: true }, { name: "v", isKey: false }, { name: "n", isKey: false }];

describe("attributeArgs()", () => {
  it("says nothing when all columns are logged under the primary key", () => {
    expect(attributeArgs("kvv", columns)).toEqual([]);
  });

  it("ignores columns that are marked so, or were added after the trigger", () => {
    expect(attributeArgs("kiv", columns)).toEqual(["ignore=v"]);
    expect(attributeArgs("k", columns)).toEqual(["ignore=v,n"]);
  });

  it("keeps a key of its own", () => {
    expect(attributeArgs("vkk", columns)).toEqual(["pkey=v,n"]);
  });
});
