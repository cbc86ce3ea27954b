import { beforeAll, describe, expect, it } from "vitest";
import { CellOrder } from "../../wasm/assembly/merge_abi.ts";
import type { KeyOrder } from "../../src/codec/merge_codec.ts";
import { seeded } from "../harness/seed.ts";
import { compareLines, randomCell } from "../unit/codec/merge_reference.ts";
import { type DebugModule, debugModule } from "./debug_kernels.ts";

const ORDERS: Record<KeyOrder, number> = {
  integer: CellOrder.Integer,
  decimal: CellOrder.Decimal,
  time: CellOrder.Time,
  bytes: CellOrder.Bytes,
  padded: CellOrder.Padded,
};
const KEY_ORDERS = Object.keys(ORDERS) as KeyOrder[];

describe("kernels of the merge", () => {
  const random = seeded("kernels of the merge");
  const encoder = new TextEncoder();
  let m: DebugModule;
  beforeAll(async () => {
    m = await debugModule();
  });

  /** Writes a line at an address, with bytes of another row around it. @returns its end */
  function place(line: string, at: number): number {
    const bytes = encoder.encode(line);
    m.bytes.fill(random.pick([0x09, 0x30, 0x5c, 0x0a]), at - 16, at + bytes.length + 64);
    m.bytes.set(bytes, at);
    m.bytes[at + bytes.length] = 0x0a;
    return at + bytes.length;
  }

  function useKeys(orders: readonly KeyOrder[]): void {
    m.bytes.set(orders.map((order) => ORDERS[order]), m.base);
    m.k.useKeys(m.base, orders.length);
  }

  const atOf = (index: number) => m.base + 4096 + index * 8192 + random.int(0, 15);

  it("firstUnlike() and its twin find the first unlike byte at every alignment, and none behind the end", () => {
    for (const find of [m.k.firstUnlike, m.k.firstUnlikeScalar]) {
      for (let alignment = 0; alignment < 16; alignment++) {
        for (const length of [0, 1, 7, 15, 16, 17, 31, 32, 33, 70]) {
          const a = m.base + 4096 + alignment;
          const b = m.base + 8192 + random.int(0, 15);
          m.bytes.fill(0x61, a, a + length + 32).fill(0x61, b, b + length);
          m.bytes.fill(0x62, b + length, b + length + 32);
          expect(find(a, b, length)).toBe(length);
          for (let i = 0; i < length; i++) {
            m.bytes[b + i] = 0x7a;
            m.bytes[b + length - 1] = 0x7a;
            expect(find(a, b, length)).toBe(i);
            m.bytes.fill(0x61, b, b + length);
          }
        }
      }
    }
  });

  for (const order of KEY_ORDERS) {
    it(`compareKeys() and its twin order ${order} keys as the reference does`, () => {
      useKeys([order]);
      const signs = new Set<number>();
      for (let round = 0; round < 3000; round++) {
        const left = randomCell(random, order, true);
        const right = random.chance(0.1) ? left : randomCell(random, order, true);
        const wanted = Math.sign(compareLines([order], left, right));
        signs.add(wanted);
        const [a, b] = [atOf(0), atOf(1)];
        // Behind the key is its row's end, or another cell.
        const aEnd = place(random.chance(0.5) ? left : `${left}\tz`, a);
        const bEnd = place(random.chance(0.5) ? right : `${right}\ta`, b);
        for (const compare of [m.k.compareKeys, m.k.compareKeysScalar]) {
          expect([left, right, Math.sign(compare(a, aEnd, b, bEnd))]).toEqual([left, right, wanted]);
          expect([right, left, Math.sign(compare(b, bEnd, a, aEnd))]).toEqual([right, left, -wanted || 0]);
        }
      }
      expect([...signs].sort()).toEqual([-1, 0, 1]);
    });
  }

  it("compareKeys() and its twin order keys of several columns as the reference does", () => {
    for (let round = 0; round < 4000; round++) {
      const orders = Array.from({ length: random.int(2, 5) }, () => random.pick(KEY_ORDERS));
      useKeys(orders);
      const left = orders.map((order) => randomCell(random, order, true));
      // Mostly the same cells, so that a later one decides.
      const right = left.map((cell, index) => random.chance(0.8) ? cell : randomCell(random, orders[index]!, true));
      const wanted = Math.sign(compareLines(orders, left.join("\t"), right.join("\t")));
      const [a, b] = [atOf(0), atOf(1)];
      const aEnd = place([...left, "x"].join("\t"), a);
      const bEnd = place([...right, "y\tz"].join("\t"), b);
      for (const compare of [m.k.compareKeys, m.k.compareKeysScalar]) {
        expect([orders, left, right, Math.sign(compare(a, aEnd, b, bEnd))]).toEqual([orders, left, right, wanted]);
      }
    }
  });
});
