/**
 * Walks `ROWS` rows that are made up on the way, in a process of its own, and prints how much its memory grew after the
 * first tenth of them, in bytes.
 */
import type { WireConnection } from "../../../../src/db/wire/connection.ts";
import type { KeyColumn, Layout } from "../../../../src/engine/repair/layout.ts";
import { walkTables } from "../../../../src/engine/repair/walk.ts";

const ROWS = 6_000_000;
const LINE = "1000000000\tsome text of a row that is not very long\t977\n";
const FRAME = 5 + LINE.length;
const CHUNK_ROWS = 100;
const DIGITS = 9;

/** A connection with rows 1 to `ROWS`, of which it leaves some out. */
function connection(everyNth: number): WireConnection {
  const chunk = new Uint8Array(CHUNK_ROWS * FRAME);
  const view = new DataView(chunk.buffer);
  const line = new TextEncoder().encode(LINE);
  for (let at = 0; at < chunk.length; at += FRAME) {
    chunk[at] = 0x64;
    view.setUint32(at + 1, 4 + LINE.length);
    chunk.set(line, at + 5);
  }
  async function* copyOut(): AsyncGenerator<Uint8Array, void, void> {
    let row = 0;
    for (let id = 1; id <= ROWS; id++) {
      if (id % everyNth === 0) continue;
      for (let digit = DIGITS, left = id; digit > 0; digit--, left = Math.floor(left / 10)) {
        chunk[row * FRAME + 5 + digit] = 0x30 + left % 10;
      }
      if (++row < CHUNK_ROWS) continue;
      yield chunk;
      await Promise.resolve();
      row = 0;
    }
    yield chunk.subarray(0, row * FRAME);
  }
  return { copyOut, query: () => Promise.resolve([]) } as unknown as WireConnection;
}

const column = { name: "id", order: "integer", isNative: { source: true, target: true } } as unknown as KeyColumn;
const table = {
  table: "public.t",
  quotedTable: "public.t",
  isPartitioned: false,
  firing: [],
  isCaptured: false,
  isFollowed: false,
  hasDeferrable: false,
  serverEncoding: "UTF8",
  timeZone: "UTC",
};
const side = { type: "bigint", builtin: "int8", isShownByPath: false };
const key = { ...column, source: side, target: side } as unknown as KeyColumn;
const layout: Layout = {
  source: table,
  target: table,
  key: [key],
  columns: [key],
  sourceOnly: [],
  targetOnly: [],
  leftOut: [],
  clientEncoding: "UTF8",
  warnings: [],
};

let early = 0;
let late = 0;
const counts = await walkTables({
  source: connection(10_000),
  target: connection(7_000),
  layout,
  signal: new AbortController().signal,
  onDifference: () => {},
  onProgress({ sourceRows }) {
    const { rss } = Deno.memoryUsage();
    if (sourceRows < ROWS / 10) early = Math.max(early, rss);
    else late = Math.max(late, rss);
  },
});
const wanted = { sourceRows: 5_999_400, targetRows: 5_999_143, inserts: 772, updates: 0, deletes: 515 };
for (const [name, count] of Object.entries(wanted)) {
  if (counts[name as keyof typeof counts] !== count) throw new Error(`${name}: ${JSON.stringify(counts)}`);
}
console.log(late - early);
