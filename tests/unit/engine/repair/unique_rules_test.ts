import { describe, expect, it } from "vitest";
import { turnsOf, type Wait } from "../../../../src/engine/repair/unique_rules.ts";
import { seeded } from "../../../harness/seed.ts";

describe("turnsOf()", () => {
  const random = seeded("turnsOf()");

  it("lets nobody have a turn before what it wants is free, and sets few aside", () => {
    for (let round = 0; round < 200; round++) {
      const count = random.int(1, 30);
      const waits: Wait[] = [];
      for (let n = random.int(0, 40); n > 0; n--) {
        waits.push([random.int(0, count - 1), random.int(0, count - 1)]);
      }
      const { aside, order } = turnsOf(count, waits, () => true);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n));
      const turn = new Map(order.map((row, n) => [row, n]));
      const isFree = ([wanter, holder]: Wait) =>
        wanter === holder || aside.includes(holder) || turn.get(holder)! < turn.get(wanter)!;
      expect(waits.filter((wait) => !isFree(wait))).toEqual([]);
      expect(new Set(aside).size).toBe(aside.length);
    }
    // A chain needs nobody to step aside, a cycle one.
    expect(turnsOf(3, [[0, 1], [1, 2]], () => true)).toEqual({ aside: [], order: [2, 1, 0] });
    expect(turnsOf(3, [[0, 1], [1, 2], [2, 0]], () => true).aside.length).toBe(1);
    expect(turnsOf(3, [[0, 1], [1, 2], [2, 0]], (row) => row === 2).aside).toEqual([2]);
  });

  it("ends where a cycle cannot be resolved, and with very many rows", () => {
    expect(turnsOf(3, [[0, 1], [1, 0]], () => false).order.length).toBe(3);
    const count = 50_000;
    const cycle = Array.from({ length: count }, (_, row): Wait => [row, (row + 1) % count]);
    expect(turnsOf(count, cycle, () => true)).toMatchObject({ aside: { length: 1 }, order: { length: count } });
  });
});
