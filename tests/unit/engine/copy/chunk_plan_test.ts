import { describe, expect, it } from "vitest";
import { chooseBounds, isInKeyOrder, keyConditions, placeConditions } from "../../../../src/engine/copy/chunk_plan.ts";
import { seeded } from "../../../harness/seed.ts";

describe("keyConditions()", () => {
  it("parts all keys, open at both ends", () => {
    expect(keyConditions(["a", 'b"'], ["'1'::x, '2'::y", "'3'::x, '4'::y"])).toEqual([
      `("a", "b""") < ('1'::x, '2'::y)`,
      `("a", "b""") >= ('1'::x, '2'::y) and ("a", "b""") < ('3'::x, '4'::y)`,
      `("a", "b""") >= ('3'::x, '4'::y)`,
    ]);
  });

  it("takes every row where there is no bound", () => expect(keyConditions(["a"], [])).toEqual(["true"]));
});

describe("placeConditions()", () => {
  it.each([[10n, 3], [3n, 10], [1n, 1], [1_000_003n, 977]])(
    "%s blocks in %s chunks meet without a gap",
    (blocks, count) => {
      const ranges = placeConditions(blocks, count).map((condition) =>
        [...condition.matchAll(/'\((\d+),0\)'/g)].map(([, block]) => BigInt(block!))
      );
      expect(ranges.length).toBe(Math.min(count, Number(blocks)));
      expect(ranges[0]![0]).toBe(0n);
      expect(ranges.at(-1)![1]).toBe(blocks);
      ranges.forEach(([from, to], i) => {
        expect(to! > from!).toBe(true);
        if (i > 0) expect(from).toBe(ranges[i - 1]![1]);
      });
    },
  );
});

describe("chooseBounds()", () => {
  it("takes them at equal distances", () => {
    expect(chooseBounds(["1", "2", "3", "4", "5", "6", "7"], 4)).toEqual(["2", "4", "6"]);
    expect(chooseBounds(["1", "2", "3"], 4)).toEqual(["1", "2", "3"]);
  });

  it("takes none twice, and no more than there are", () => {
    expect(chooseBounds(["1", "1", "1"], 3)).toEqual(["1"]);
    expect(chooseBounds(["1"], 10)).toEqual(["1"]);
    expect(chooseBounds([], 3)).toEqual([]);
  });
});

describe("isInKeyOrder()", () => {
  const ascending = Array.from({ length: 100 }, (_, i) => i);

  it("sees order in both directions, and past some rows that were put elsewhere", () => {
    expect(isInKeyOrder(ascending)).toBe(true);
    expect(isInKeyOrder(ascending.toReversed())).toBe(true);
    expect(isInKeyOrder(ascending.map((rank) => rank === 50 ? 3.5 : rank))).toBe(true);
  });

  it("sees none in random ranks", () => {
    const random = seeded("isInKeyOrder");
    for (let round = 0; round < 100; round++) {
      const ranks = ascending.map((rank) => ({ rank, by: random.int(0, 1e9) })).sort((a, b) => a.by - b.by);
      expect(isInKeyOrder(ranks.map(({ rank }) => rank))).toBe(false);
    }
  });
});
