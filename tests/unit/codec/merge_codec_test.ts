import { describe, expect, it } from "vitest";
import { type KeyOrder, MergeCodec, type MergeStep, type Side } from "../../../src/codec/merge_codec.ts";
import { type Random, seeded } from "../../harness/seed.ts";
import { debugBytes } from "../../wasm/debug_kernels.ts";
import { compareLines, framesOf, mergeLines, randomCell } from "./merge_reference.ts";

const decoder = new TextDecoder();
const SMALL = { module: debugBytes, ringBytes: 64 };

interface Result {
  end: MergeStep["kind"];
  found: string[];
  rows: { source: number; target: number };
}

/** Merges two streams; `chunkBytes` says how many bytes come at a time. Ends at `done` or the first thing that is wrong. */
function merge(
  codec: MergeCodec,
  streams: Record<Side, Uint8Array>,
  chunkBytes: (side: Side) => number = () => 1 << 20,
): Result {
  const at = { source: 0, target: 0 };
  const found: string[] = [];
  const text = (line: Uint8Array) => decoder.decode(line);
  for (;;) {
    const step = codec.step();
    for (const { source, target } of codec.differences()) {
      if (target === null) found.push(`+${text(source!)}`);
      else if (source === null) found.push(`-${text(target)}`);
      else found.push(`~${text(source)} → ${text(target)}`);
    }
    if (step.kind === "full") continue;
    if (step.kind !== "need-input") return { end: step.kind, found, rows: { ...codec.rows } };
    for (const side of step.sides) {
      const stream = streams[side];
      if (at[side] === stream.length) {
        codec.end(side);
        continue;
      }
      const taken = codec.push(side, stream.subarray(at[side], at[side] + chunkBytes(side)));
      expect(taken).toBeGreaterThan(0);
      at[side] += taken;
    }
  }
}

/** Rows with ascending keys, and a column that is not of the key. */
function randomLines(random: Random, orders: readonly KeyOrder[], count: number): string[] {
  const lines = Array.from({ length: count }, () =>
    [
      ...orders.map((order, index) => index === 0 && random.chance(0.5) ? "7" : randomCell(random, order, index > 0)),
      randomCell(random, "bytes", true),
    ].join("\t"));
  lines.sort((a, b) => compareLines(orders, a, b));
  return lines.filter((line, index) => index === 0 || compareLines(orders, lines[index - 1]!, line) < 0);
}

/** Another side: rows missing, surplus and changed here and there. */
function diverged(random: Random, orders: readonly KeyOrder[], lines: readonly string[], share: number): string[] {
  const others = lines.flatMap((line) => {
    if (!random.chance(share)) return [line];
    return random.pick([[], [`${line}!`], [line, ...randomLines(random, orders, 1)]]);
  });
  others.sort((a, b) => compareLines(orders, a, b));
  return others.filter((line, index) => index === 0 || compareLines(orders, others[index - 1]!, line) < 0);
}

describe("MergeCodec", () => {
  const random = seeded("MergeCodec");
  const KEYS: readonly (readonly KeyOrder[])[] = [["integer"], ["decimal"], ["integer", "bytes"], [
    "decimal",
    "time",
    "padded",
  ]];

  it("finds what the reference finds, however the streams are cut", () => {
    for (let round = 0; round < 150; round++) {
      const orders = random.pick(KEYS);
      const lines = randomLines(random, orders, random.int(0, 60));
      const others = diverged(random, orders, lines, random.pick([0, 0.05, 0.5, 1]));
      const codec = new MergeCodec({ keyOrders: orders, ...(random.chance(0.7) ? SMALL : {}) });
      const most = random.pick([1, 3, 20, 300]);
      const result = merge(codec, { source: framesOf(lines), target: framesOf(others) }, () => random.int(1, most));
      expect(result).toEqual({
        end: "done",
        found: mergeLines(orders, lines, others),
        rows: { source: lines.length, target: others.length },
      });
    }
  });

  it("takes streams that are cut at every single byte", () => {
    const lines = ["1\ta", "2\t\\N", "10\t", "11\tx\\ty"];
    const others = ["1\ta", "2\t", "11\tx\\ty", "12\tz"];
    const [source, target] = [framesOf(lines), framesOf(others)];
    const wanted = ["~2\t\\N → 2\t", "+10\t", "-12\tz"];
    for (let first = 0; first <= source.length; first++) {
      for (let second = 0; second <= target.length; second++) {
        const cuts = { source: [first, source.length], target: [second, target.length] };
        const next = (side: Side) => {
          const size = cuts[side].shift() ?? Infinity;
          return size === 0 ? cuts[side].shift()! : size;
        };
        const { end, found } = merge(new MergeCodec({ keyOrders: ["integer"], ...SMALL }), { source, target }, next);
        expect([first, second, end, found]).toEqual([first, second, "done", wanted]);
      }
    }
  });

  it("finds differences in the first and the last row, beyond the other side's end, and on empty sides", () => {
    const check = (lines: string[], others: string[]) => {
      const codec = new MergeCodec({ keyOrders: ["integer"], ...SMALL });
      const { end, found } = merge(codec, { source: framesOf(lines), target: framesOf(others) });
      expect(end).toBe("done");
      return found;
    };
    expect(check([], [])).toEqual([]);
    expect(check(["1\ta", "2\tb"], [])).toEqual(["+1\ta", "+2\tb"]);
    expect(check([], ["1\ta", "2\tb"])).toEqual(["-1\ta", "-2\tb"]);
    expect(check(["1\ta", "2\tb"], ["1\tA", "2\tb"])).toEqual(["~1\ta → 1\tA"]);
    expect(check(["1\ta", "2\tb"], ["1\ta", "2\tB"])).toEqual(["~2\tb → 2\tB"]);
    expect(check(["1\ta"], ["1\ta", "2\tb", "3\tc"])).toEqual(["-2\tb", "-3\tc"]);
    expect(check(["1\ta", "2\tb", "3\tc"], ["1\ta"])).toEqual(["+2\tb", "+3\tc"]);
    // The bytes differ in blank space, NULL and the sign of nothing alone.
    expect(check(["1\t a", "2\t\\N", "3\t-0"], ["1\ta ", "2\t", "3\t0"]).length).toBe(3);
    expect(check(["5"], ["5"])).toEqual([]);
  });

  it("tells more differences than fit into one step", () => {
    const lines = Array.from({ length: 10_000 }, (_, i) => `${i}\tx`);
    const codec = new MergeCodec({ keyOrders: ["integer"] });
    const { found } = merge(codec, { source: framesOf(lines), target: new Uint8Array(0) });
    expect(found).toEqual(lines.map((line) => `+${line}`));
  });

  it("never finds a stream equal in which one bit is another", () => {
    const orders: KeyOrder[] = ["integer", "bytes"];
    const lines = randomLines(random, orders, 30);
    const source = framesOf(lines);
    let unlike = 0;
    for (let at = 0; at < source.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const target = source.slice();
        target[at]! ^= 1 << bit;
        const { end, found } = merge(new MergeCodec({ keyOrders: orders, ringBytes: 4096 }), { source, target });
        if (end === "done" && found.length === 0) throw new Error(`byte ${at}, bit ${bit}: said to be equal`);
        unlike++;
      }
    }
    expect(unlike).toBe(source.length * 8);
  });

  it("stops at a row that is out of order or there twice, on either side, in the middle of equal rows too", () => {
    const ascending = Array.from({ length: 200 }, (_, i) => `${i}\tx`);
    for (let round = 0; round < 200; round++) {
      const wrong = [...ascending];
      const at = random.int(0, 198);
      if (random.chance(0.5)) wrong.splice(at, 0, random.chance(0.5) ? wrong[at]! : `${at}\ty`);
      else [wrong[at], wrong[at + 1]] = [wrong[at + 1]!, wrong[at]!];
      const [source, target] = random.pick([[wrong, ascending], [ascending, wrong], [wrong, wrong]] as const);
      const codec = new MergeCodec({ keyOrders: ["integer"], ...random.pick([SMALL, {}]) });
      const { end } = merge(codec, { source: framesOf(source), target: framesOf(target) }, () => random.int(1, 500));
      expect(end).toBe("out-of-order");
    }
  });

  it("names the side and the key of the row that is out of order", () => {
    const codec = new MergeCodec({ keyOrders: ["integer", "bytes"] });
    codec.push("source", framesOf(["1\ta", "2\tb"]));
    codec.push("target", framesOf(["1\ta", "1\ta\\tb", "1\t\\N", "1\tc"]));
    codec.end("source");
    codec.end("target");
    const step = codec.step();
    expect(step).toEqual({
      kind: "out-of-order",
      side: "target",
      key: [new Uint8Array([0x31]), new Uint8Array([0x63])],
    });
  });

  it("takes no broken stream for a whole one", () => {
    const whole = framesOf(["1\ta", "2\tb"]);
    const broken: Record<string, Uint8Array> = {
      "cut in a row": whole.subarray(0, whole.length - 1),
      "cut in a head": whole.subarray(0, 9 + 3),
      "another message": whole.slice().fill(0x43, 0, 1),
      "no newline": whole.slice().fill(0x20, 8, 9),
      "empty frame": new Uint8Array([0x64, 0, 0, 0, 4]),
      "too short a size": new Uint8Array([0x64, 0, 0, 0, 3]),
      "a huge size": new Uint8Array([0x64, 0xff, 0xff, 0xff, 0xff, 0x31, 0x0a]),
    };
    for (const [what, bytes] of Object.entries(broken)) {
      for (const side of ["source", "target"] as const) {
        const streams = { source: whole, target: whole, [side]: bytes };
        const codec = new MergeCodec({ keyOrders: ["integer"], ...SMALL });
        const chunk = random.int(1, 9);
        expect([what, merge(codec, streams, () => chunk).end]).toEqual([what, "bad-frame"]);
      }
    }
  });

  it("merges two other streams after restart, wherever it was", () => {
    const orders: KeyOrder[] = ["integer"];
    for (let round = 0; round < 60; round++) {
      const codec = new MergeCodec({ keyOrders: orders, ...(random.chance(0.7) ? SMALL : {}) });
      const bytes = codec.memoryBytes;
      for (let turn = 0; turn < 3; turn++) {
        codec.restart();
        expect(codec.memoryBytes).toBe(bytes);
        const lines = randomLines(random, orders, random.int(0, 40));
        const others = diverged(random, orders, lines, random.pick([0, 0.5]));
        if (turn < 2) {
          // Left in the middle, ended on one side, with a row larger than the ring, out of order or broken.
          const large = random.chance(0.3) ? [`99999999\t${"x".repeat(500)}`] : [];
          const wrong = random.chance(0.3) ? ["0\ta", "0\ta"] : [];
          const source = framesOf([...lines, ...large, ...wrong]);
          codec.push("source", source.subarray(0, random.int(0, source.length)));
          if (random.chance(0.5)) codec.end("source");
          codec.push("target", framesOf(others));
          if (random.chance(0.5)) codec.end("target");
          for (let step = random.int(0, 4); step > 0; step--) codec.step();
          continue;
        }
        const result = merge(codec, { source: framesOf(lines), target: framesOf(others) }, () => random.int(1, 300));
        const rows = { source: lines.length, target: others.length };
        expect(result).toEqual({ end: "done", found: mergeLines(orders, lines, others), rows });
        expect(codec.position()).toEqual(rows.source + rows.target === 0 ? null : expect.anything());
      }
    }
  });

  it("makes room for a row larger than its rings, and gives it back", () => {
    const large = "x".repeat(3 << 20);
    const lines = ["1\ta", `2\t${large}`, "3\tb", ...Array.from({ length: 4000 }, (_, i) => `${i + 4}\tc`)];
    for (const others of [lines, lines.toSpliced(1, 1), lines.with(1, `2\t${large}!`)]) {
      for (const [from, to] of [[lines, others], [others, lines]] as const) {
        const codec = new MergeCodec({ keyOrders: ["integer"], ringBytes: 8192 });
        const bytes = codec.memoryBytes;
        let most = 0;
        const result = merge(codec, { source: framesOf(from), target: framesOf(to) }, () => {
          most = Math.max(most, codec.memoryBytes);
          return 5000;
        });
        expect(result.found.length).toBe(mergeLines(["integer"], from, to).length);
        expect(most).toBeGreaterThan(3 << 20);
        expect(codec.memoryBytes).toBe(bytes);
      }
    }
  });

  it("takes keys larger than its rings", () => {
    const prefix = "k".repeat(5000);
    const lines = Array.from({ length: 20 }, (_, i) => `${prefix}${String.fromCharCode(97 + i)}\tx`);
    const others = lines.toSpliced(7, 1);
    const codec = new MergeCodec({ keyOrders: ["bytes"], ...SMALL });
    const { end, found } = merge(
      codec,
      { source: framesOf(lines), target: framesOf(others) },
      () => random.int(1, 9000),
    );
    expect([end, found]).toEqual(["done", [`+${lines[7]}`]]);
  });

  it("says up to which key both sides are done", () => {
    const codec = new MergeCodec({ keyOrders: ["integer"] });
    const text = () => codec.position()?.map((cell) => decoder.decode(cell!)) ?? null;
    expect(text()).toBe(null);
    codec.push("source", framesOf(["1\ta", "5\tb", "9\tc"]));
    codec.push("target", framesOf(["1\ta", "7\tb"]));
    expect(codec.step()).toEqual({ kind: "need-input", sides: ["target"] });
    expect(text()).toEqual(["7"]);
    codec.end("target");
    codec.end("source");
    expect(codec.step()).toEqual({ kind: "done" });
    expect(text()).toEqual(["9"]);
  });
});
