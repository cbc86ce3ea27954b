import { describe, expect, it } from "vitest";
import { didYouMean, editDistance, nearest } from "../../../src/base/nearest.ts";

describe("editDistance()", () => {
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
    ["expect", "expcet", 1],
    ["expect", "excpet", 2],
    ["same", "same", 0],
  ];
  for (const [a, b, distance] of cases) {
    it(`is ${distance} from "${a}" to "${b}"`, () => {
      expect(editDistance(a, b)).toBe(distance);
      expect(editDistance(b, a)).toBe(distance);
    });
  }
});

describe("nearest()", () => {
  it("finds the word a typo was meant to be, whatever its case", () => {
    expect(nearest("REPALY", ["replay", "repair", "resync"])).toBe("replay");
  });

  it("finds nothing when too much would have to change", () => {
    expect(nearest("xyz", ["replay", "repair"])).toBeNull();
  });

  it("leaves the hint to the caller when nothing is near", () => {
    expect(didYouMean("xyz", ["replay"], "Look elsewhere.")).toBe("Look elsewhere.");
    expect(didYouMean("repla", ["replay"])).toBe('Did you mean "replay"?');
  });
});
