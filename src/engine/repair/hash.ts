// Finding the parts of a table that differ without moving its rows: both servers reduce each range of keys to a count
// and a hash, and only these come over the network.
//
//   source's keys   ──┬──────────┬──────────┬── … ──┬──▶     every N-th key is a bound; the first range begins before
//                     b1         b2         b3      bn       all keys, the last one ends behind all of them
//   hash of a range   count, md5 of the rows' texts one behind the other in key order
//
// A row's text tells its values, NULL and the bounds between them apart, and the hash depends on which row stands where:
// nothing can cancel out. A server that has more than N rows in a range stops there, with a count that cannot be right.
//
// Where the servers have no order in common that an index gives, rows are dealt into buckets by the md5 of their keys
// instead, in one pass over the table: each bucket is a count and the sum of its rows' md5, which hold their keys.

import { SkyqError } from "../../base/errors.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { quoteIdent } from "../../db/quote.ts";
import { copiedRows } from "./keyed.ts";
import { type KeyColumn, type Layout, type Side } from "./layout.ts";
import {
  boundLiteral,
  type Cell,
  fromClause,
  type KeyRange,
  orderBy,
  orderExpression,
  selectList,
  whereClause,
} from "./order.ts";

/** Bytes of rows that one hash stands for: hash and bound are then some thousandths of them. */
const RANGE_BYTES = 64 << 10;
const RANGE_ROWS_MAX = 5_000;
/** Ranges in one statement. */
const RANGES_AT_ONCE = 128;
/** Their bounds are looked up for several. */
const BOUNDS_AT_ONCE = 8 * RANGES_AT_ONCE;

/** How a table's rows are put together for hashing: by ranges of keys through an index, or into buckets in one pass. */
export type Hashing = "ranges" | "buckets";

/** @returns null when the same row may have another text on the other side */
export function hashingOf({ source, target, key }: Layout): Hashing | null {
  if (source.serverEncoding !== target.serverEncoding) return null;
  const isAlike = (column: KeyColumn) =>
    column.source.baseType === column.target.baseType || column.order === "integer";
  if (!key.every(isAlike)) return null;
  const isIndexed = (column: KeyColumn) => !column.isNullable && column.isNative.source && column.isNative.target;
  return key.every(isIndexed) ? "ranges" : "buckets";
}

/** How many rows a range holds. @param rowBytes of an average row */
export function rangeRows(rowBytes: number): number {
  return Math.max(1, Math.min(RANGE_ROWS_MAX, Math.round(RANGE_BYTES / Math.max(1, rowBytes))));
}

export interface RangeHash {
  readonly count: number;
  readonly hash: string;
}

/** Every `rows`-th key of the source behind `after`, in order. @param limit so many of them */
export async function* rangeBounds(
  source: WireConnection,
  layout: Layout,
  rows: number,
  { where, after, limit }: { where: string | null; after: readonly Cell[] | null; limit: number },
): AsyncGenerator<Cell[], void, void> {
  const names = layout.key.map((_, n) => `k${n}`).join(", ");
  const keys = layout.key.map((column, n) => `${orderExpression(layout, column, "source")} as k${n}`).join(", ");
  yield* copiedRows(
    source,
    `copy (select ${names} from (select ${keys}, row_number() over (order by ${orderBy(layout, "source")}) as n from ${
      fromClause(layout, "source")
    }${whereClause(layout, "source", { where, range: { after } })} order by ${orderBy(layout, "source")} limit ${
      limit * rows
    }) "skyq bounds" where n % ${rows} = 0 order by n) to stdout`,
  );
}

/**
 * Cuts the source's rows behind `after` into ranges of `rows`: some at a time, the last one of all open to the end.
 * Meanwhile the session is free, and only some bounds are in memory.
 */
export async function* rangesOf(
  source: WireConnection,
  layout: Layout,
  rows: number,
  { where, after, boundsAtOnce = BOUNDS_AT_ONCE }: {
    where: string | null;
    after: readonly Cell[] | null;
    boundsAtOnce?: number;
  },
): AsyncGenerator<KeyRange[], void, void> {
  for (let isLast = false; !isLast;) {
    const ranges: KeyRange[] = [];
    for await (const bound of rangeBounds(source, layout, rows, { where, after, limit: boundsAtOnce })) {
      ranges.push({ after, upTo: bound });
      after = bound;
    }
    isLast = ranges.length < boundsAtOnce;
    if (isLast) ranges.push({ after, upTo: null });
    for (let at = 0; at < ranges.length; at += RANGES_AT_ONCE) yield ranges.slice(at, at + RANGES_AT_ONCE);
  }
}

/**
 * Hashes ranges on one side.
 * @param rows how many rows a range has at most where nothing is wrong
 * @returns one hash per range, in their order
 */
export async function hashRanges(
  connection: WireConnection,
  layout: Layout,
  side: Side,
  ranges: readonly KeyRange[],
  { rows, where }: { rows: number; where: string | null },
): Promise<RangeHash[]> {
  const hashes: RangeHash[] = [];
  // A range without an end on either side has a condition less, and so a statement of its own.
  for (let at = 0; at < ranges.length;) {
    const shape = shapeOf(ranges[at]!);
    let end = at + 1;
    while (end < ranges.length && shapeOf(ranges[end]!) === shape) end++;
    hashes.push(...await hashAlike(connection, layout, side, ranges.slice(at, end), { rows, where }));
    at = end;
  }
  return hashes;
}

function shapeOf({ after, upTo }: KeyRange): string {
  return `${after ? "a" : ""}${upTo ? "u" : ""}`;
}

async function hashAlike(
  connection: WireConnection,
  layout: Layout,
  side: Side,
  ranges: readonly KeyRange[],
  { rows, where }: { rows: number; where: string | null },
): Promise<RangeHash[]> {
  const { after, upTo } = ranges[0]!;
  const literals = (cells: readonly Cell[]) =>
    layout.key.map((column: KeyColumn, n) => boundLiteral(layout, column, side, cells[n] ?? null));
  const lines = ranges.map((range, n) =>
    `(${[n, ...range.after ? literals(range.after) : [], ...range.upTo ? literals(range.upTo) : []].join(", ")})`
  );
  const columns = (letter: string) => layout.key.map((_, n) => `"skyq ranges".${letter}${n}`);
  const names = [
    "n",
    ...(after ? layout.key.map((_, n) => `a${n}`) : []),
    ...(upTo ? layout.key.map((_, n) => `u${n}`) : []),
  ];
  const expressions = layout.key.map((column) => orderExpression(layout, column, side)).join(", ");
  const conditions = [
    ...(where !== null ? [`(${where}\n)`] : []),
    ...(after ? [`(${expressions}) > (${columns("a").join(", ")})`] : []),
    ...(upTo ? [`(${expressions}) <= (${columns("u").join(", ")})`] : []),
  ];
  const rowsOfRange = `select row(${selectList(layout, side)})::pg_catalog.text as t from ${fromClause(layout, side)}` +
    `${conditions.length > 0 ? ` where ${conditions.join(" and ")}` : ""} order by ${orderBy(layout, side)} limit ${
      rows + 1
    }`;
  const found = await connection.query<{ count: bigint; hash: string | null }>(
    `select d.count, d.hash from (values ${lines.join(", ")}) "skyq ranges"(${names.join(", ")})
      cross join lateral (select pg_catalog.count(*) as count,
                                 pg_catalog.md5(pg_catalog.string_agg(r.t, '')) as hash from (${rowsOfRange}) r) d
      order by "skyq ranges".n`,
  );
  if (found.length !== ranges.length) throw new SkyqError("protocol", "Cannot compare hashes: some are missing");
  return found.map(({ count, hash }) => ({ count: Number(count), hash: hash ?? "" }));
}

export function sameHash(a: RangeHash, b: RangeHash): boolean {
  return a.count === b.count && a.hash === b.hash;
}

/** How many buckets a table is dealt into. */
export function bucketCount(rows: number, rowBytes: number): number {
  return Math.max(16, Math.min(1_000_000, Math.ceil((rows * rowBytes) / RANGE_BYTES)));
}

/** The number of a row's bucket, in SQL that means the same on both sides. */
function bucketExpression({ key }: Layout, count: number): string {
  const cells = key.map(({ name }) => quoteIdent(name)).join(", ");
  // 24 bits, so that no sign comes in.
  return `('x' || pg_catalog.left(pg_catalog.md5(row(${cells})::pg_catalog.text), 6))::bit(24)::pg_catalog.int4 % ${count}`;
}

/** A condition for the rows of some buckets. */
export function inBuckets(layout: Layout, count: number, buckets: readonly number[]): string {
  return `${bucketExpression(layout, count)} = any ('{${buckets.join(",")}}'::pg_catalog.int4[])`;
}

/**
 * Hashes all rows of one side into buckets.
 * @param sample only so many rows, to see how long it takes
 * @returns by bucket; one without rows is not there
 */
export async function hashBuckets(
  connection: WireConnection,
  layout: Layout,
  side: Side,
  { count, where, sample }: { count: number; where: string | null; sample?: number },
): Promise<Map<number, RangeHash>> {
  const rows = `select ${bucketExpression(layout, count)} as b, pg_catalog.md5(row(${
    selectList(layout, side)
  })::pg_catalog.text) as m from ${fromClause(layout, side)}${whereClause(layout, side, { where })}${
    sample === undefined ? "" : ` limit ${sample}`
  }`;
  const half = (part: "left" | "right") =>
    `pg_catalog.sum(('x' || pg_catalog.${part}(r.m, 16))::bit(64)::pg_catalog.int8)`;
  const found = await connection.query<{ b: number; count: bigint; hash: string }>(
    `select r.b, pg_catalog.count(*) as count, ${half("left")} || ' ' || ${half("right")} as hash
       from (${rows}) r group by r.b`,
  );
  return new Map(found.map(({ b, count, hash }) => [b, { count: Number(count), hash }]));
}

/** What it takes to begin reading a range, in seconds of reading on. */
const BEGIN_S = 0.015;

/** How many ranges that are equal may lie between two that differ, and be read with them, since that is sooner done. */
export function gapMax(bytesPerSecond: number): number {
  return Math.min(RANGES_AT_ONCE, Math.floor((BEGIN_S * bytesPerSecond) / RANGE_BYTES));
}

/**
 * Puts ranges that are to be read into runs.
 * @param gap so many others between two of them are read as well
 * @returns first and last index of each run
 * @example runsOf([false, true, false, true, false, false, true], 1) // [[1, 3], [6, 6]]
 */
export function runsOf(isWanted: readonly boolean[], gap: number): [first: number, last: number][] {
  const runs: [number, number][] = [];
  isWanted.forEach((wanted, index) => {
    if (!wanted) return;
    const run = runs.at(-1);
    if (run !== undefined && index - run[1] - 1 <= gap) run[1] = index;
    else runs.push([index, index]);
  });
  return runs;
}
