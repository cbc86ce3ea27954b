/**
 * deno bench -A bench/micro/decode_bench.ts
 *
 * Steps 3 and 4 of a batch: CopyData of events in, COPY lines, arrays or ordered messages out. Prints events/s and MB/s
 * of input, best of the runs, with a checksum of the output.
 */
import { EventCodec, type EventPart } from "../../src/codec/event_codec.ts";
import { Random } from "../../tests/harness/seed.ts";

const SMOKE_EVENTS = 2_000;
const FULL_EVENTS = 1_000_000;
const CHUNK_BYTES = 256 << 10;
const COLUMNS = ["id", "customer_id", "status", "created_at", "amount", "note", "flags", "updated_at"];

type Kind = "inserts" | "updates" | "deletes";

/** Events of 8 columns, about 150 bytes of ev_data each, as CopyData; the same bytes every time. */
function encodedEvents(kind: Kind, count: number): Uint8Array {
  const random = new Random(42);
  const encoder = new TextEncoder();
  const bytes = new Uint8Array(count * 320);
  const view = new DataView(bytes.buffer);
  const letter = { inserts: "I", updates: "U", deletes: "D" }[kind];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const id = kind === "updates" ? random.int(1, 1_000_000) : 1_000_000 + i;
    const minute = String(random.int(10, 59));
    const line = `${5_000_000 + i}\t${900_000 + (i >> 3)}\t${letter}:id\tpublic.orders\tid=${id}` +
      `&customer_id=${random.int(1, 99_999)}&status=shipped&created_at=2024-03-05+11%3a${minute}%3a33.123456` +
      `&amount=${random.int(1, 99_999)}.50&note=left+at+door&flags&updated_at=2024-03-06+10%3a${minute}%3a07.5` +
      `\t\\N\t\\N\t\\N\n`;
    const { written } = encoder.encodeInto(line, bytes.subarray(at + 5));
    bytes[at] = 0x64;
    view.setUint32(at + 1, 4 + written);
    at += 5 + written;
  }
  return bytes.subarray(0, at);
}

/** Emits what `part` holds. @returns a checksum of the bytes */
type Emit = (part: EventPart, table: number) => number;

const emits: Record<string, Emit> = {
  "scan + coalesce": (part, table) => part.rowCount(table),
  "… + COPY lines": (part, table) => sumOf(part.emitCopyRows(table, "insert")),
  "… + arrays": (part, table) =>
    sumOf(part.emitArrays(table, "update", { statement: "u" })) +
    sumOf(part.emitArrays(table, "delete", { statement: "d" })),
  "… + ordered": (part) => sumOf(part.emitOrdered()),
};

function sumOf(pieces: Iterable<{ bytes: Uint8Array; rows: number }>): number {
  let sum = 0;
  for (const { bytes, rows } of pieces) sum += rows + bytes.length + bytes[bytes.length >> 1]!;
  return sum;
}

/** Takes all events through the codec, part after part. @returns a checksum of what came out */
function decodeAll(codec: EventCodec, input: Uint8Array, emit: Emit): number {
  let checksum = 0;
  let [part, other] = codec.parts;
  part.reset();
  other.reset();
  const table = codec.tableId("public.orders")!;
  const finish = () => checksum += emit(part, table);
  for (let at = 0; at < input.length;) {
    at += part.push(input.subarray(at, at + CHUNK_BYTES));
    const result = part.scan();
    if (result.kind === "need-input") continue;
    if (result.kind !== "full") throw new Error(`Unexpected: ${result.kind}`);
    finish();
    part.moveRestTo(other);
    part.reset();
    [part, other] = [other, part];
  }
  finish();
  return checksum;
}

async function orderCodec(): Promise<EventCodec> {
  const codec = await EventCodec.create();
  const table = codec.addTable("public.orders", { take: "all", mode: "net" });
  codec.addShape(table, {
    keyList: "id",
    columns: COLUMNS.map((name) => ({ name, key: name === "id", skip: false })),
    statements: { insert: "i", update: "u", delete: "d" },
  });
  return codec;
}

const CASES: [kind: Kind, emit: keyof typeof emits][] = [
  ["inserts", "scan + coalesce"],
  ["inserts", "… + COPY lines"],
  ["inserts", "… + ordered"],
  ["updates", "scan + coalesce"],
  ["updates", "… + arrays"],
  ["deletes", "… + arrays"],
];

/** Every case at its small size. */
export async function smoke(): Promise<void> {
  const codec = await orderCodec();
  for (const [kind, emit] of CASES) {
    const checksum = decodeAll(codec, encodedEvents(kind, SMOKE_EVENTS), emits[emit]!);
    if (!(checksum >= SMOKE_EVENTS / 2)) throw new Error(`${kind}, ${emit}: nothing came out`);
  }
}

const inputs = new Map<Kind, Uint8Array>();
const codec = orderCodec();
for (const [kind, emit] of CASES) {
  const name = `${FULL_EVENTS} ${kind}: ${emit}`;
  let bestMs = Infinity;
  let inputBytes = 0;
  let checksum = 0;
  Deno.bench({ name, n: 5, warmup: 1 }, async (b) => {
    if (!inputs.has(kind)) {
      inputs.clear(); // one at a time: a quarter of a gigabyte each
      inputs.set(kind, encodedEvents(kind, FULL_EVENTS));
    }
    const input = inputs.get(kind)!;
    inputBytes = input.length;
    const ready = await codec;
    b.start();
    const start = performance.now();
    checksum = decodeAll(ready, input, emits[emit]!);
    bestMs = Math.min(bestMs, performance.now() - start);
    b.end();
  });
  globalThis.addEventListener("unload", () => {
    if (bestMs === Infinity) return; // filtered out, or a smoke run
    const rate = `${(FULL_EVENTS / bestMs / 1000).toFixed(2)} M events/s, ${
      (inputBytes / bestMs / 1000).toFixed(0)
    } MB/s`;
    console.log(`${name}: ${rate}, checksum ${checksum}`);
  });
}
