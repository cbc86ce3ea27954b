import { describe, expect, it } from "vitest";
import { AtMostEvery } from "../../../src/base/time.ts";

describe("AtMostEvery", () => {
  it("allows each key once a period, whatever the others do", () => {
    let nowMs = 0;
    const limit = new AtMostEvery(100, () => nowMs);
    expect([limit.allows("a"), limit.allows("a"), limit.allows("b")]).toEqual([true, false, true]);
    nowMs = 99;
    expect([limit.allows("a"), limit.allows("b")]).toEqual([false, false]);
    nowMs = 100;
    expect([limit.allows("a"), limit.allows("a"), limit.allows("b")]).toEqual([true, false, true]);
  });
});
