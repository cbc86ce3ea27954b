// How a table is compared: by reading all its rows, or by hashes of ranges first. Decided by trying both on a little.

import type { WireConnection } from "../../db/wire/connection.ts";
import { formatBytes, formatSeconds } from "../../base/units.ts";
import { one } from "../../db/queryable.ts";
import { hashBuckets, hashingOf, hashRanges, rangeBounds, rangeRows } from "./hash.ts";
import type { Layout, Side } from "./layout.ts";
import { copiedRows } from "./keyed.ts";
import { type Cell, readStatement } from "./order.ts";

export type Method = "stream" | "hash";

export interface Choice {
  readonly method: Method;
  /** For the log. */
  readonly why: string;
  /** Bytes of an average row as COPY shows it. */
  readonly rowBytes: number;
}

export interface ChoiceInput {
  readonly source: WireConnection;
  readonly target: WireConnection;
  readonly layout: Layout;
  readonly asked: Method | "auto";
  readonly where: string | null;
  /** How many rows there are about to be. */
  readonly rows: number;
  /** Bytes per second that may be used, null for no limit. */
  readonly bytesPerSecondMax: number | null;
}

/** Smaller tables are read sooner than anything could be found out about them. */
const SMALL_BYTES = 8 << 20;
/** How much is read to see how fast the network is: at most so much, and at most this share of the table. */
const SAMPLE_BYTES = 128 << 10;
const SAMPLE_SHARE = 1 / 500;
const SAMPLE_ROWS_MIN = 20;
/** Ranges that are hashed to see how long that takes. */
const SAMPLE_RANGES = 8;
/** Rows that are hashed, into few buckets, for the same. */
const SAMPLE_BUCKET_ROWS = 5_000;
/** Hashing has to promise this much of the time of reading: differences are read on top of it. */
const HASH_SHARE_MAX = 0.7;

/** Both sessions have the layout's settings, and are in their snapshot's transaction. */
export async function chooseMethod(input: ChoiceInput): Promise<Choice> {
  const { layout, asked, source, target } = input;
  if (asked === "stream") return { method: "stream", why: "asked for", rowBytes: 0 };
  if (hashingOf(layout) === null) {
    const why = "hashes say nothing here: the databases' encodings, or the types of the keys, are not the same";
    return { method: "stream", why, rowBytes: 0 };
  }
  const bytes = Number(
    (await one<{ bytes: bigint }>(
      source,
      "select pg_catalog.pg_table_size($1::text::pg_catalog.regclass) as bytes",
      [layout.source.quotedTable],
    )).bytes,
  );
  if (asked === "auto" && bytes < SMALL_BYTES) {
    return { method: "stream", why: `it is small (${formatBytes(bytes)})`, rowBytes: 0 };
  }
  const sampleBytes = Math.min(SAMPLE_BYTES, bytes * SAMPLE_SHARE);
  const guess = Math.max(SAMPLE_ROWS_MIN, Math.round(sampleBytes / Math.max(20, bytes / Math.max(1, input.rows))));
  const [here, there] = await Promise.all([
    sample(source, "source", input, guess),
    sample(target, "target", input, guess),
  ]);
  const rowBytes = here.rows > 0 ? here.bytes / here.rows : 100;
  if (asked === "hash") return { method: "hash", why: "asked for", rowBytes };
  const bytesPerSecond = Math.min(here.bytesPerSecond, there.bytesPerSecond, input.bytesPerSecondMax ?? Infinity);
  const streamS = input.rows * rowBytes / bytesPerSecond;
  const hashS = input.rows * await hashSeconds(input, rowBytes);
  const isHash = hashS < streamS * HASH_SHARE_MAX;
  return {
    method: isHash ? "hash" : "stream",
    why: `a sample promises ${formatSeconds(streamS)} for reading ${formatBytes(input.rows * rowBytes)} at ` +
      `${formatBytes(bytesPerSecond)}/s, ${formatSeconds(hashS)} for hashing`,
    rowBytes,
  };
}

interface Sample {
  readonly rows: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

/** Reads some rows as they lie; the way there and back does not count. */
async function sample(connection: WireConnection, side: Side, { layout }: ChoiceInput, rows: number): Promise<Sample> {
  const all = readStatement(layout, side, { isOrdered: false });
  const askedMs = performance.now();
  await connection.query("select 1");
  const tripMs = performance.now() - askedMs;
  const startMs = performance.now();
  let bytes = 0;
  let count = 0;
  for await (const row of copiedRows(connection, all.replace(/\) to stdout$/, ` limit ${rows}) to stdout`))) {
    count++;
    bytes += row.reduce((size, cell) => size + 1 + (cell?.length ?? 2), HEADER_BYTES);
  }
  const seconds = Math.max(0.0005, (performance.now() - startMs - tripMs) / 1000);
  return { rows: count, bytes, bytesPerSecond: bytes / seconds };
}

/** What the protocol puts before each row. */
const HEADER_BYTES = 5;

/** Seconds that the slower side takes for the hash of a row. */
async function hashSeconds(input: ChoiceInput, rowBytes: number): Promise<number> {
  const { source, target, layout, where } = input;
  const rows = rangeRows(rowBytes);
  if (hashingOf(layout) === "buckets") {
    const count = 16;
    const timed = async (connection: WireConnection, side: Side) => {
      const startMs = performance.now();
      await hashBuckets(connection, layout, side, { count, where, sample: SAMPLE_BUCKET_ROWS });
      return (performance.now() - startMs) / 1000 / Math.max(1, Math.min(SAMPLE_BUCKET_ROWS, input.rows));
    };
    return Math.max(...await Promise.all([timed(source, "source"), timed(target, "target")]));
  }
  const bounds: (readonly Cell[])[] = [];
  for await (const bound of firstBounds(source, layout, rows, where)) bounds.push(bound);
  if (bounds.length === 0) return 0;
  const ranges = bounds.map((upTo, n) => ({ after: n === 0 ? null : bounds[n - 1]!, upTo }));
  const timed = async (connection: WireConnection, side: Side) => {
    const [first, ...rest] = ranges;
    await hashRanges(connection, layout, side, [first!], { rows, where }); // warms up
    const startMs = performance.now();
    if (rest.length > 0) await hashRanges(connection, layout, side, rest, { rows, where });
    return (performance.now() - startMs) / 1000 / Math.max(1, rest.length * rows);
  };
  const [here, there] = await Promise.all([timed(source, "source"), timed(target, "target")]);
  return Math.max(here, there);
}

function firstBounds(source: WireConnection, layout: Layout, rows: number, where: string | null) {
  return rangeBounds(source, layout, rows, { where, after: null, limit: SAMPLE_RANGES });
}
