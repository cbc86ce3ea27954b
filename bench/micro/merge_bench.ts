/**
 * deno bench -A bench/micro/merge_bench.ts
 *
 * The sorted merge of two COPY streams that lie ready in memory: rows/s (of one side) and MB/s (of both), best of the
 * runs, with the differences found.
 */
import { type KeyOrder, MergeCodec } from "../../src/codec/merge_codec.ts";
import { Random } from "../../tests/harness/seed.ts";

const SMOKE_ROWS = 3_000;
const FULL_ROWS = 2_000_000;
const CHUNK_BYTES = 256 << 10;

interface Case {
  readonly name: string;
  readonly keyOrders: readonly KeyOrder[];
  /** The row's key cells. */
  key(row: number): string;
  readonly rest: string;
  /** Of how many rows one is different; 0 none. */
  readonly everyNth: number;
}

const short = { keyOrders: ["integer"], key: (row: number) => String(row), rest: "a note\t12.50" } as const;
const wide = {
  ...short,
  rest: "17\tshipped\t2024-03-05 11:23:33.123456\t199.50\tleft at the door\t\\N\t2024-03-06 10:11:07.5",
} as const;

const CASES: readonly Case[] = [
  { name: "short rows, equal", ...short, everyNth: 0 },
  { name: "short rows, 0.1 % different", ...short, everyNth: 1000 },
  { name: "short rows, 10 % different", ...short, everyNth: 10 },
  { name: "8 columns, equal", ...wide, everyNth: 0 },
  { name: "text key, equal", ...short, keyOrders: ["bytes"], key: (row) => `key-${row + 1e9}`, everyNth: 0 },
  {
    name: "key of three columns, equal",
    ...short,
    keyOrders: ["integer", "time", "decimal"],
    key: (row) => `${row >> 10}\t2024-03-05 11:23:33.12\t${row & 1023}.50`,
    everyNth: 0,
  },
];

/** Rows as CopyData; the same bytes every time. Of the target's rows one in `everyNth` has another last cell. */
function encodedRows({ key, rest, everyNth }: Case, rowCount: number, isTarget: boolean): Uint8Array {
  const random = new Random(42);
  const encoder = new TextEncoder();
  const bytes = new Uint8Array(rowCount * (rest.length + 48));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (let row = 1; row <= rowCount; row++) {
    const isDifferent = everyNth !== 0 && random.int(1, everyNth) === 1 && isTarget;
    const { written } = encoder.encodeInto(`${key(row)}\t${rest}${isDifferent ? "!" : ""}\n`, bytes.subarray(at + 5));
    bytes[at] = 0x64;
    view.setUint32(at + 1, 4 + written);
    at += 5 + written;
  }
  return bytes.subarray(0, at);
}

/** Merges both. @returns rows and differences, as one number */
function mergeAll(keyOrders: readonly KeyOrder[], source: Uint8Array, target: Uint8Array): number {
  const codec = new MergeCodec({ keyOrders });
  const inputs = { source: { bytes: source, at: 0 }, target: { bytes: target, at: 0 } };
  let checksum = 0;
  for (;;) {
    const step = codec.step();
    for (const { source, target } of codec.differences()) checksum += (source?.length ?? 0) + (target?.length ?? 0);
    if (step.kind === "done") return checksum + codec.rows.source + codec.rows.target;
    if (step.kind === "full") continue;
    if (step.kind !== "need-input") throw new Error(`Unexpected: ${step.kind}`);
    for (const side of step.sides) {
      const input = inputs[side];
      if (input.at === input.bytes.length) codec.end(side);
      else input.at += codec.push(side, input.bytes.subarray(input.at, input.at + CHUNK_BYTES));
    }
  }
}

/** Every case at its small size. */
export function smoke(): void {
  for (const one of CASES) {
    const sum = mergeAll(one.keyOrders, encodedRows(one, SMOKE_ROWS, false), encodedRows(one, SMOKE_ROWS, true));
    if (sum < 2 * SMOKE_ROWS || (one.everyNth === 0) !== (sum === 2 * SMOKE_ROWS)) {
      throw new Error(`${one.name}: ${sum}`);
    }
  }
}

let inputs: { name: string; source: Uint8Array; target: Uint8Array } | null = null;
for (const one of CASES) {
  let bestMs = Infinity;
  let inputBytes = 0;
  let checksum = 0;
  Deno.bench({ name: one.name, n: 5, warmup: 1 }, (b) => {
    if (inputs?.name !== one.name) {
      inputs = null; // one at a time
      inputs = {
        name: one.name,
        source: encodedRows(one, FULL_ROWS, false),
        target: encodedRows(one, FULL_ROWS, true),
      };
    }
    const { source, target } = inputs;
    inputBytes = source.length + target.length;
    b.start();
    const start = performance.now();
    checksum = mergeAll(one.keyOrders, source, target);
    bestMs = Math.min(bestMs, performance.now() - start);
    b.end();
  });
  globalThis.addEventListener("unload", () => {
    if (bestMs === Infinity) return; // filtered out, or a smoke run
    const rate = `${(FULL_ROWS / bestMs / 1000).toFixed(1)} M rows/s, ${(inputBytes / bestMs / 1000).toFixed(0)} MB/s`;
    console.log(`${one.name}: ${rate}, checksum ${checksum}`);
  });
}
