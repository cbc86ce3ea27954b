import { describe, expect, it } from "vitest";
import type { KeyOrder } from "../../../src/codec/merge_codec.ts";
import { BrokenRows, type RowRun, RowSorter } from "../../../src/codec/merge_sort.ts";
import { seeded } from "../../harness/seed.ts";
import { debugBytes } from "../../wasm/debug_kernels.ts";
import { compareLines, framesOf, randomCell } from "./merge_reference.ts";

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function linesOf(frames: Uint8Array): string[] {
  const lines: string[] = [];
  const view = new DataView(frames.buffer, frames.byteOffset);
  for (let at = 0; at < frames.length; at += 1 + view.getUint32(at + 1)) {
    lines.push(new TextDecoder().decode(frames.subarray(at + 5, at + view.getUint32(at + 1))));
  }
  return lines;
}

describe("RowSorter", () => {
  const random = seeded("RowSorter");
  const MEMORY = { memoryBytes: 2048, module: debugBytes };

  /** A run in memory, read in pieces of any size. */
  function runOf(bytes: Uint8Array, largestRow: number): RowRun {
    let at = 0;
    return {
      largestRow,
      read(into) {
        const size = Math.min(random.int(1, 200), into.length, bytes.length - at);
        into.set(bytes.subarray(at, at + size));
        at += size;
        return Promise.resolve(size);
      },
    };
  }

  /** Sorts in as many runs as it takes, and merges them. */
  async function sorted(keyOrders: readonly KeyOrder[], frames: Uint8Array, chunkMax: number): Promise<string[]> {
    const sorter = new RowSorter({ keyOrders, ...MEMORY });
    const runs: RowRun[] = [];
    const spill = () => {
      const { largestRow } = sorter;
      runs.push(runOf(concat(Array.from(sorter.sorted(), (piece) => piece.slice())), largestRow));
    };
    for (let at = 0; at < frames.length;) {
      const chunk = frames.subarray(at, at + random.int(1, chunkMax));
      const taken = sorter.push(chunk);
      at += taken;
      if (taken < chunk.length) spill();
    }
    while (!sorter.end()) spill();
    spill();
    const pieces: Uint8Array[] = [];
    for await (const piece of sorter.merged(runs)) pieces.push(piece.slice());
    return linesOf(concat(pieces));
  }

  it("puts rows in order, however they come and however many runs they make", async () => {
    for (let round = 0; round < 60; round++) {
      const keyOrders = random.pick<KeyOrder[]>([["integer"], ["bytes", "decimal"], ["time"], ["padded", "integer"]]);
      const lines = Array.from({ length: random.pick([0, 1, 5, 64, 65, 700]) }, (_, i) => {
        const cells = keyOrders.map((order) => randomCell(random, order, true));
        return [...cells, i, "x".repeat(random.chance(0.02) ? 5000 : random.int(0, 30))].join("\t");
      });
      const found = await sorted(keyOrders, framesOf(lines), random.pick([1, 9, 100, 5000]));
      expect(found.toSorted()).toEqual(lines.toSorted());
      for (let i = 1; i < found.length; i++) {
        if (compareLines(keyOrders, found[i - 1]!, found[i]!) > 0) throw new Error(`${found[i - 1]}, ${found[i]}`);
      }
    }
  });

  it("takes rows that are cut at every single byte", () => {
    const lines = ["10\ta", "9\t\\N", "-1\tx\\ty", "9\tb"];
    const frames = framesOf(lines);
    for (let cut = 0; cut <= frames.length; cut++) {
      const sorter = new RowSorter({ keyOrders: ["integer"], ...MEMORY });
      expect(sorter.push(frames.subarray(0, cut)) + sorter.push(frames.subarray(cut))).toBe(frames.length);
      expect(sorter.end()).toBe(true);
      const found = linesOf(concat(Array.from(sorter.sorted(), (piece) => piece.slice())));
      expect(found).toEqual(["-1\tx\\ty", "9\t\\N", "9\tb", "10\ta"]); // equal keys as they came
    }
  });

  it("gives its memory back behind a row that was larger", () => {
    const sorter = new RowSorter({ keyOrders: ["integer"], ...MEMORY });
    const bytes = sorter.memoryBytes;
    const frames = framesOf(["2\ta", `1\t${"x".repeat(1 << 20)}`, "3\tb"]);
    const lines: string[] = [];
    for (let at = 0; at < frames.length;) {
      const taken = sorter.push(frames.subarray(at));
      at += taken;
      if (at < frames.length) lines.push(...Array.from(sorter.sorted(), linesOf).flat());
    }
    expect(sorter.memoryBytes).toBeGreaterThan(1 << 20);
    while (!sorter.end()) lines.push(...Array.from(sorter.sorted(), linesOf).flat());
    lines.push(...Array.from(sorter.sorted(), linesOf).flat());
    expect(lines.map((line) => line.length)).toEqual([3, 2 + (1 << 20), 3]);
    expect(sorter.memoryBytes).toBe(bytes);
  });

  it("refuses what is no stream of rows, and runs that are not what was written", async () => {
    const whole = framesOf(["1\ta", "2\tb"]);
    for (const bytes of [whole.subarray(0, 12), whole.subarray(0, whole.length - 1), whole.slice().fill(0, 0, 1)]) {
      const sorter = new RowSorter({ keyOrders: ["integer"], ...MEMORY });
      expect(() => {
        sorter.push(bytes);
        sorter.end();
      }).toThrow(BrokenRows);
      const merging = new RowSorter({ keyOrders: ["integer"], ...MEMORY }).merged([runOf(bytes, 20), runOf(whole, 20)]);
      await expect((async () => {
        for await (const _ of merging);
      })()).rejects.toThrow(BrokenRows);
    }
  });
});
