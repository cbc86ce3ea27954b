/** Reads one table from both sides at once, in key order, and reports where they differ. */
import { SkyqError } from "../../base/errors.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import type { Layout, Side } from "./layout.ts";
import { type Cell, type KeyRange, outOfOrder, pinSettings, readStatement } from "./order.ts";

export type { Cell, KeyRange } from "./order.ts";

/**
 * One row that is not the same on both sides: `insert` is missing from the target, `delete` is missing from the source,
 * `update` is there with other values.
 */
export interface Difference {
  readonly kind: "insert" | "update" | "delete";
  /** One cell per key column, the source's where it has the row. */
  readonly key: readonly Cell[];
  /** One cell per compared column (`layout.columns`), null when the side has no such row. */
  readonly source: readonly Cell[] | null;
  readonly target: readonly Cell[] | null;
}

export interface WalkCounts {
  sourceRows: number;
  targetRows: number;
  inserts: number;
  updates: number;
  deletes: number;
}

export interface WalkProgress extends Readonly<WalkCounts> {
  /** Bytes read from both sides so far. */
  readonly bytes: number;
  /**
   * The last key that both sides are done with: every difference up to it has been reported and accepted. Where a walk
   * may be taken up again (`range.after`). Null before the first row.
   */
  position(): readonly Cell[] | null;
}

export interface WalkOptions {
  /**
   * One connection each, for the walk alone as long as it runs; they keep its settings (`pinSettings`). What they see is
   * the caller's matter: both should be in a REPEATABLE READ transaction begun at the same point.
   */
  source: WireConnection;
  target: WireConnection;
  layout: Layout;
  /** A condition in SQL, as the user wrote it, applied on both sides. */
  where?: string | null;
  range?: KeyRange | null;
  signal?: AbortSignal;
  /** Called in key order. Reading stops until what it returns has resolved. Its cells may be kept. */
  onDifference(difference: Difference): void | Promise<void>;
  /** Called every few 100 KiB read and at the end; may return a promise to slow the walk down. */
  onProgress?(progress: WalkProgress): void | Promise<void>;
}

/**
 * Walks both sides. Returns only when both streams were read to their end; whatever else happens is an error, so that
 * counts without differences mean that all rows are equal.
 * @throws {SkyqError} `structure` (rows out of order: a damaged index, a key that is not unique), `stopped` (the signal),
 *   or what either server says
 */
export async function walkTables(options: WalkOptions): Promise<WalkCounts> {
  const { source, target, layout, onDifference, onProgress, signal } = options;
  await Promise.all([pinSettings(source, layout), pinSettings(target, layout)]);
  const counts: WalkCounts = { sourceRows: 0, targetRows: 0, inserts: 0, updates: 0, deletes: 0 };
  const sides = {
    source: rowsOf(source, "source", options),
    target: rowsOf(target, "target", options),
  };
  let last: readonly Cell[] | null = null;
  const keySize = layout.key.length;
  try {
    let [from, to] = await Promise.all([sides.source.next(), sides.target.next()]);
    for (;;) {
      const [here, there] = [from.value ?? null, to.value ?? null];
      if (here === null && there === null) break;
      if (signal?.aborted) throw new SkyqError("stopped", "Cannot finish the comparison: asked to stop");
      const order = here === null ? 1 : there === null ? -1 : compareKeys(layout, here, there);
      const source = order <= 0 ? here : null;
      const target = order >= 0 ? there : null;
      const key = (source ?? target)!.slice(0, keySize);
      if (target === null) {
        counts.inserts++;
        await onDifference({ kind: "insert", key, source, target });
      } else if (source === null) {
        counts.deletes++;
        await onDifference({ kind: "delete", key, source, target });
      } else if (!source.every((cell, index) => sameCell(cell, target[index]))) {
        counts.updates++;
        await onDifference({ kind: "update", key, source, target });
      }
      last = key;
      if (source !== null) {
        counts.sourceRows++;
        from = await sides.source.next();
      }
      if (target !== null) {
        counts.targetRows++;
        to = await sides.target.next();
      }
    }
    await onProgress?.({ ...counts, bytes: 0, position: () => last });
    return counts;
  } finally {
    await Promise.all([sides.source.return(), sides.target.return()]);
  }
}

async function* rowsOf(
  connection: WireConnection,
  side: Side,
  { layout, where, range }: WalkOptions,
): AsyncGenerator<Cell[], void, void> {
  let rest: Uint8Array = new Uint8Array(0);
  let before: Cell[] | null = null;
  for await (const chunk of connection.copyOut(readStatement(layout, side, { where, range }))) {
    const bytes = new Uint8Array(rest.length + chunk.length);
    bytes.set(rest);
    bytes.set(chunk, rest.length);
    let at = 0;
    const view = new DataView(bytes.buffer);
    while (at + 5 <= bytes.length && at + 1 + view.getUint32(at + 1) <= bytes.length) {
      const end = at + 1 + view.getUint32(at + 1);
      const row = cellsOf(bytes.subarray(at + 5, end - 1));
      if (before !== null && compareKeys(layout, before, row) >= 0) {
        throw outOfOrder(layout, side, row.slice(0, layout.key.length));
      }
      before = row;
      yield row;
      at = end;
    }
    rest = bytes.slice(at);
  }
}

function cellsOf(line: Uint8Array): Cell[] {
  const cells: Cell[] = [];
  for (let start = 0; start <= line.length;) {
    let end = line.indexOf(0x09, start);
    if (end < 0) end = line.length;
    cells.push(unescaped(line.subarray(start, end)));
    start = end + 1;
  }
  return cells;
}

const LETTERS: Readonly<Record<number, number>> = { 98: 8, 102: 12, 110: 10, 114: 13, 116: 9, 118: 11 };

function unescaped(cell: Uint8Array): Cell {
  if (cell.length === 2 && cell[0] === 0x5c && cell[1] === 0x4e) return null;
  if (!cell.includes(0x5c)) return cell;
  const bytes: number[] = [];
  for (let i = 0; i < cell.length; i++) {
    if (cell[i] === 0x5c) bytes.push(LETTERS[cell[++i]!] ?? cell[i]!);
    else bytes.push(cell[i]!);
  }
  return new Uint8Array(bytes);
}

function sameCell(a: Cell, b: Cell | undefined): boolean {
  if (a === null || b === null || b === undefined) return a === b;
  return compareBytes(a, b) === 0;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const size = Math.min(a.length, b.length);
  for (let i = 0; i < size; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

function compareKeys(layout: Layout, a: readonly Cell[], b: readonly Cell[]): number {
  for (const [index, { order }] of layout.key.entries()) {
    const [x, y] = [a[index] ?? null, b[index] ?? null];
    if (x === null || y === null) {
      if (x !== y) return x === null ? 1 : -1;
      continue;
    }
    const text = (cell: Uint8Array) => new TextDecoder().decode(cell);
    const unlike = order === "integer"
      ? Number(BigInt(text(x)) - BigInt(text(y)))
      : order === "decimal"
      ? Number(text(x)) - Number(text(y))
      : compareBytes(x, y);
    if (unlike !== 0) return unlike;
  }
  return 0;
}
