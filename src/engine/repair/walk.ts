/** Reads one table from both sides at once, in key order, and reports where they differ. */
import { SkyqError } from "../../base/errors.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { copyLineCells } from "../../codec/copy_text.ts";
import { badStream, type Cell, type DifferentLines, MergeCodec } from "../../codec/merge_codec.ts";
import { type ExternalSort, sortRows } from "./external_sort.ts";
import type { Layout, Side } from "./layout.ts";
import { type KeyRange, outOfOrder, pinSettings, putSettings, readStatement } from "./order.ts";

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
   * One connection each, for the walk alone as long as it runs. What they see is the caller's matter: both should be in
   * a REPEATABLE READ transaction begun at the same point. A walk that fails leaves such a transaction failed, and
   * outside of one the settings of `order.ts`.
   */
  source: WireConnection;
  target: WireConnection;
  layout: Layout;
  /** A condition in SQL, as the user wrote it, applied on both sides. */
  where?: string | null;
  range?: KeyRange | null;
  /**
   * Sorts here, on local disk, what a server cannot read from an index in the order of the merge (`isNative`), or with
   * `isAlways` everything; `memoryBytes` is for both sides. Without it the servers sort.
   */
  localSort?: ExternalSort & { readonly isAlways?: boolean } | null;
  /** For the keys of `layout`, from the walk before: a table that is read in many small ranges needs no other memory. */
  codec?: MergeCodec;
  signal?: AbortSignal;
  /** Called in key order. Reading stops until what it returns has resolved. Its cells may be kept. */
  onDifference(difference: Difference): void | Promise<void>;
  /** Called after each MiB read and at the end; may return a promise to slow the walk down. */
  onProgress?(progress: WalkProgress): void | Promise<void>;
}

/**
 * Walks both sides. Returns only when both streams were read to their end; whatever else happens is an error, so that
 * counts without differences mean that all rows are equal.
 * @throws {SkyqError} `structure` (rows out of order: a damaged index, a key that is not unique), `stopped` (the signal),
 *   or what either server says
 */
export async function walkTables(options: WalkOptions): Promise<WalkCounts> {
  const { source, target, layout, signal } = options;
  const [sourceBefore, targetBefore] = await Promise.all([pinSettings(source, layout), pinSettings(target, layout)]);
  const codec = options.codec ?? mergeCodecOf(layout);
  codec.restart();
  const feeds = [new Feed("source", source, codec, options), new Feed("target", target, codec, options)];
  // Nothing races with a promise for the signal: it would remember every read of a table of any size.
  const onAbort = () => feeds.forEach((feed) => void feed.interrupt());
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const counts = await merge(codec, feeds, options);
    await Promise.all([putSettings(source, sourceBefore), putSettings(target, targetBefore)]);
    return counts;
  } catch (error) {
    await Promise.all(feeds.map((feed) => feed.stop()));
    throw signal?.aborted ? stopped(layout, signal.reason) : error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

export function mergeCodecOf(layout: Layout): MergeCodec {
  return new MergeCodec({ keyOrders: layout.key.map(({ order }) => order) });
}

function stopped(layout: Layout, cause: unknown): SkyqError {
  return new SkyqError("stopped", `Cannot finish comparing table "${layout.source.table}": asked to stop`, { cause });
}

async function merge(
  codec: MergeCodec,
  feeds: readonly Feed[],
  { layout, onDifference, onProgress, signal }: WalkOptions,
): Promise<WalkCounts> {
  const counts = { inserts: 0, updates: 0, deletes: 0 };
  let toldBytes = 0;
  for (;;) {
    if (signal?.aborted) throw stopped(layout, signal.reason);
    const step = codec.step();
    for (const lines of codec.differences()) {
      const difference = differenceOf(lines, layout.key.length);
      counts[COUNTED[difference.kind]]++;
      const accepted = onDifference(difference);
      if (accepted !== undefined) await accepted;
    }
    const bytes = feeds[0]!.bytes + feeds[1]!.bytes;
    if (onProgress !== undefined && (step.kind === "done" || bytes - toldBytes >= PROGRESS_BYTES)) {
      toldBytes = bytes;
      const rows = { sourceRows: codec.rows.source, targetRows: codec.rows.target };
      const told = onProgress({ ...rows, ...counts, bytes, position: () => codec.position() });
      if (told !== undefined) await told;
    }
    switch (step.kind) {
      case "done":
        return { sourceRows: codec.rows.source, targetRows: codec.rows.target, ...counts };
      case "need-input": {
        for (const feed of feeds) if (step.sides.includes(feed.side)) await feed.fill();
        break;
      }
      case "out-of-order":
        throw outOfOrder(layout, step.side, step.key);
      case "bad-frame":
        throw badStream(`Cannot compare table "${layout[step.side].table}"`, step.side);
    }
  }
}

/** The side's rows in the order of the merge. */
function rowsOf(side: Side, connection: WireConnection, options: WalkOptions): AsyncGenerator<Uint8Array, void, void> {
  const { layout, where, range, localSort } = options;
  const isServerOrdered = localSort?.isAlways ? false : layout.key.every((column) => column.isNative[side]);
  if (!localSort || isServerOrdered) return connection.copyOut(readStatement(layout, side, { where, range }));
  return sortRows(connection.copyOut(readStatement(layout, side, { where, range, isOrdered: false })), {
    directory: localSort.directory,
    memoryBytes: localSort.memoryBytes === undefined ? undefined : localSort.memoryBytes / 2,
    keyOrders: layout.key.map(({ order }) => order),
    table: layout[side].table,
    side,
  });
}

const COUNTED = { insert: "inserts", update: "updates", delete: "deletes" } as const;
/** How often progress is told. */
const PROGRESS_BYTES = 1 << 20;

/** Cells of their own memory. */
function differenceOf({ source, target }: DifferentLines, keySize: number): Difference {
  const from = source === null ? null : copyLineCells(source.slice());
  const to = target === null ? null : copyLineCells(target.slice());
  const kind = to === null ? "insert" : from === null ? "delete" : "update";
  return { kind, key: (from ?? to)!.slice(0, keySize), source: from, target: to };
}

/** Brings one side's bytes into the codec, always with the next read under way. */
class Feed {
  bytes = 0;
  readonly #connection: WireConnection;
  readonly #chunks: AsyncGenerator<Uint8Array, void, void>;
  readonly #codec: MergeCodec;
  /** What the codec has not taken yet. */
  #chunk: Uint8Array = new Uint8Array(0);
  #next: Promise<IteratorResult<Uint8Array, void>> | null;
  #isEnded = false;

  constructor(readonly side: Side, connection: WireConnection, codec: MergeCodec, options: WalkOptions) {
    this.#connection = connection;
    this.#codec = codec;
    this.#chunks = rowsOf(side, connection, options);
    this.#next = this.#read();
  }

  /** Gives the codec more, or tells it the end. */
  async fill(): Promise<void> {
    if (this.#chunk.length === 0) {
      const { done, value } = await this.#next!;
      if (done) {
        this.#isEnded = true;
        this.#codec.end(this.side);
        return;
      }
      this.#chunk = value;
      this.bytes += value.length;
    }
    const taken = this.#codec.push(this.side, this.#chunk);
    if (taken === 0 && this.#chunk.length > 0) {
      throw new Error(`The merge asked for more of the ${this.side}, and has no room for it`);
    }
    this.#chunk = this.#chunk.subarray(taken);
    // The chunk was lent until now.
    if (this.#chunk.length === 0) this.#next = this.#read();
  }

  /** Ends the COPY on the server, wherever it is: it may be sorting for minutes yet. Never rejects. */
  async interrupt(): Promise<void> {
    if (!this.#isEnded) await this.#connection.cancel().catch(() => this.#connection.destroy());
  }

  /** The same, and waits until the connection is free. */
  async stop(): Promise<void> {
    if (this.#isEnded) return;
    if (this.#chunk.length === 0) {
      await this.interrupt();
      await this.#next!.catch(() => {});
    }
    await this.#chunks.return().catch(() => {});
  }

  #read(): Promise<IteratorResult<Uint8Array, void>> {
    const next = this.#chunks.next();
    next.catch(() => {}); // told to whoever waits for it
    return next;
  }
}
