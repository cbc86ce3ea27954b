import { describe, expect, it } from "vitest";
import { waitFor } from "../../harness/wait_for.ts";
import { Random } from "../../harness/seed.ts";

describe("waitFor()", () => {
  it("returns the first value that is something, 0 and the empty text included", async () => {
    let lookCount = 0;
    expect(await waitFor(() => (++lookCount < 3 ? null : 0), { what: "a number", pollMs: 1 })).toBe(0);
    expect(lookCount).toBe(3);
    expect(await waitFor(() => "", { what: "a text" })).toBe("");
  });

  it("says what it waited for and what it saw last", async () => {
    const failing = waitFor(() => Promise.reject(new Error("not yet")), { what: "a row", timeoutMs: 30, pollMs: 5 });
    await expect(failing).rejects.toThrow(/waiting for a row after 30 ms: looked \d+ times, last error Error: not yet/);
  });
});

describe("Random", () => {
  it("gives the same numbers for the same seed", () => {
    const numbers = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 5 }, () => random.u32());
    };
    expect(numbers(42)).toEqual([2581720956, 1925393290, 3661312704, 2876485805, 750819978]);
    expect(numbers(42)).not.toEqual(numbers(43));
  });

  it("keeps to its bounds and reaches both", () => {
    const random = new Random(1);
    const seen = new Set(Array.from({ length: 200 }, () => random.int(3, 6)));
    expect([...seen].sort()).toEqual([3, 4, 5, 6]);
    expect(random.shuffle([1, 2, 3]).sort()).toEqual([1, 2, 3]);
  });
});
