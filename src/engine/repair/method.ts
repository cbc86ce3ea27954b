// How a table is compared: by reading all its rows, or by hashes of ranges first. Decided by trying both on a little.

import type { WireConnection } from "../../db/wire/connection.ts";
import { formatBytes, formatSeconds } from "../../base/units.ts";
import { one } from "../../db/queryable.ts";
import { hashBuckets, hashingOf, hashRanges, rangeBounds, rangeRows } from "./hash.ts";
import type { Layout, Side } from "./layout.ts";
import { type Cell, readStatement } from "./order.ts";

export type Method = "stream" | "hash";

export interface Choice {
  readonly method: Method;
  /** For the log. */
  readonly why: string;
  /** Bytes of an average row as COPY shows it. */
  readonly rowBytes: number;
  /** How fast rows come in. */
  readonly bytesPerSecond: number;
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
const SAMPLE_BYTES = 256 << 10;
const SAMPLE_SHARE = 1 / 400;
const SAMPLE_ROWS_MIN = 20;
/** Ranges that are hashed to see how long that takes. */
const SAMPLE_RANGES = 8;
/** Rows that are hashed, into few buckets, for the same. */
const SAMPLE_BUCKET_ROWS = 5_000;
/** Hashing has to promise this much of the time of reading: differences are read on top of it. */
const HASH_SHARE_MAX = 0.5;

/** Both sessions have the layout's settings, and are in their snapshot's transaction. */
export async function chooseMethod(input: ChoiceInput): Promise<Choice> {
  const { layout, asked, source, target } = input;
  if (asked === "stream") return { method: "stream", why: "asked for", ...NOT_TRIED };
  if (hashingOf(layout) === null) {
    const why = "hashes say nothing here: the databases' encodings, or the types of the keys, are not the same";
    return { method: "stream", why, ...NOT_TRIED };
  }
  const bytes = Number(
    (await one<{ bytes: bigint }>(
      source,
      `select coalesce(pg_catalog.sum(pg_catalog.pg_table_size(t.relid)), pg_catalog.pg_table_size($1::text::pg_catalog.regclass)::numeric)::int8 as bytes
         from pg_catalog.pg_partition_tree($1::text::pg_catalog.regclass) t`,
      [layout.source.quotedTable],
    )).bytes,
  );
  if (asked === "auto" && bytes < SMALL_BYTES) {
    return { method: "stream", why: `it is small (${formatBytes(bytes)})`, ...NOT_TRIED };
  }
  const sampleBytes = Math.min(SAMPLE_BYTES, bytes * SAMPLE_SHARE);
  // Without a guess of the server's a row has about the size of a sample's.
  const rowSize = input.rows > 0 ? Math.max(20, bytes / input.rows) : 100;
  const guess = Math.max(SAMPLE_ROWS_MIN, Math.round(sampleBytes / rowSize));
  const [here, there] = await Promise.all([
    sample(source, "source", input, guess),
    sample(target, "target", input, guess),
  ]);
  const { rowBytes } = here;
  const rows = input.rows > 0 ? input.rows : bytes / (rowBytes + TUPLE_BYTES);
  const bytesPerSecond = Math.min(here.bytesPerSecond, there.bytesPerSecond, input.bytesPerSecondMax ?? Infinity);
  if (asked === "hash") return { method: "hash", why: "asked for", rowBytes, bytesPerSecond };
  const streamS = rows * rowBytes / bytesPerSecond;
  const hashS = rows * await hashSeconds(input, rowBytes);
  return {
    method: hashS < streamS * HASH_SHARE_MAX ? "hash" : "stream",
    why: `a sample promises ${formatSeconds(streamS)} for reading ${formatBytes(rows * rowBytes)} at ` +
      `${formatBytes(bytesPerSecond)}/s, ${formatSeconds(hashS)} for hashing`,
    rowBytes,
    bytesPerSecond,
  };
}

const NOT_TRIED = { rowBytes: 100, bytesPerSecond: 0 } as const;
/** What a row takes in a table beside its values. */
const TUPLE_BYTES = 28;

interface Sample {
  readonly rowBytes: number;
  readonly bytesPerSecond: number;
}

/** A sample that comes in faster than this says nothing of the network. */
const FAST_BYTES_PER_SECOND = 100e6;

/** Reads some rows as they lie, then more: what takes its time however little is read does not count. */
async function sample(connection: WireConnection, side: Side, { layout }: ChoiceInput, rows: number): Promise<Sample> {
  const few = await timedRows(connection, side, layout, Math.ceil(rows / 8));
  const many = await timedRows(connection, side, layout, rows);
  const seconds = many.seconds - few.seconds;
  const bytes = many.bytes - few.bytes;
  return {
    // Fewer rows than asked for make it too small, of a table that is small.
    rowBytes: Math.max(1, many.bytes / rows),
    bytesPerSecond: seconds > 0 && bytes > 0 ? Math.min(FAST_BYTES_PER_SECOND, bytes / seconds) : FAST_BYTES_PER_SECOND,
  };
}

async function timedRows(connection: WireConnection, side: Side, layout: Layout, limit: number) {
  const sql = readStatement(layout, side, { isOrdered: false }).replace(/\) to stdout$/, ` limit ${limit}) to stdout`);
  const startMs = performance.now();
  let bytes = 0;
  for await (const chunk of connection.copyOut(sql)) bytes += chunk.length;
  return { bytes, seconds: (performance.now() - startMs) / 1000 };
}

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
