// One table, from its layout to its result.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import type { MergeCodec } from "../../codec/merge_codec.ts";
import { openKeyReader, type Pair, type SessionOptions } from "./connections.ts";
import {
  bucketCount,
  gapMax,
  hashBuckets,
  hashingOf,
  hashRanges,
  inBuckets,
  type RangeHash,
  rangeRows,
  rangesOf,
  runsOf,
  sameHash,
} from "./hash.ts";
import type { ExternalSort } from "./external_sort.ts";
import { estimateRows, type Layout, readLayout } from "./layout.ts";
import { chooseMethod, type Method } from "./method.ts";
import { type Cell, checkCondition, type KeyRange, pinSettings } from "./order.ts";
import type { Pace } from "./pace.ts";
import { SecondLooks } from "./second_looks.ts";
import { holdTable, interruptible, openSnapshots, type Snapshots, syncTable } from "./sync.ts";
import { readUniqueRules, type UniqueRule } from "./unique_rules.ts";
import { type Difference, mergeCodecOf, type WalkCounts, walkTables } from "./walk.ts";

/** What a table is called where. */
export interface TableNames {
  /** In the queue, and in what we say. */
  readonly table: string;
  readonly source: string;
  readonly target: string;
}

export interface TableOptions extends SessionOptions {
  readonly where: string | null;
  readonly ignoreColumns: readonly string[];
  readonly method: Method | "auto";
  /** Sorts here what no index gives in order; null leaves that to the servers. */
  readonly localSort: ExternalSort | null;
  readonly isOnline: boolean;
  readonly isApplying: boolean;
  readonly lockLimitMs: number;
  readonly bytesPerSecondMax: number | null;
  readonly pace: Pace;
  readonly log: Logger;
}

/** Where a run that was stopped goes on. */
export interface Checkpoint {
  readonly after: readonly Cell[];
  readonly counts: Readonly<WalkCounts>;
  /** Goes on as it was begun, or the counts would be of two kinds. */
  readonly method: Method;
}

/** What is done with what is found. All are called in turn, never at once. */
export interface TableSink {
  /** Rows are to be mended, now or later. */
  readonly isFixing: boolean;
  /** Once, before anything is read; may refuse. */
  begin(layout: Layout, rules: readonly UniqueRule[]): Checkpoint | null;
  /** A difference that is certain. */
  difference(difference: Difference): void;
  /** All up to this key is done with: told of, and counted. Called now and then. */
  reached?(checkpoint: Checkpoint): void;
  /** A difference whose fix the server has refused. */
  refused?(difference: Difference): void;
  mark?(): void;
  commitFailed?(): void;
  beforeCommit?(): void;
}

export interface TableResult extends Readonly<WalkCounts> {
  readonly method: Method;
  /** Bytes of rows that were read from both sides. */
  readonly bytes: number;
  readonly applied: number;
  readonly unsettled: number;
  readonly refused: number;
  readonly refusals: readonly string[];
}

/**
 * Compares a table, and with `isApplying` fixes it. Returns only when all of it was read.
 * @param catalogs sessions for looking into the catalogues
 * @throws {SkyqError} whatever keeps it from being read to its end
 */
export async function runTable(
  pair: Pair,
  catalogs: { source: Queryable; target: Queryable },
  names: TableNames,
  options: TableOptions,
  sink: TableSink,
): Promise<TableResult> {
  const { log, pace } = options;
  const layout = await readLayout(catalogs.source, catalogs.target, {
    sourceTable: names.source,
    targetTable: names.target,
    ignoreColumns: options.ignoreColumns,
    ...(pair.replication === null ? { sideNames: { source: "source", target: "target" } } : {}),
  });
  for (const warning of layout.warnings) log.warning(warning);
  const rules = sink.isFixing ? await uniqueRules(pair, catalogs, layout, options) : [];
  const from = sink.begin(layout, rules);
  if (from !== null) {
    const key = from.after.map((cell) => cell === null ? "NULL" : new TextDecoder().decode(cell)).join(", ");
    log.info(`${names.table}: goes on behind (${key})`);
  }
  const rows = Math.max(
    await estimateRows(catalogs.source, layout.source),
    await estimateRows(catalogs.target, layout.target),
  );
  const certain = new CertainCounts();
  let looks: SecondLooks | null = null;
  let snapshots: Snapshots | null = null;
  pace.begin(names.table, rows);
  try {
    // A row that only one side shows under a condition may be there on the other one, with other values.
    const isRestricted = options.where !== null;
    if (options.isApplying || options.isOnline || isRestricted) {
      looks = await SecondLooks.open({
        ...options,
        pair,
        layout,
        rules,
        table: names.table,
        where: options.where,
        onCertain(difference) {
          certain.add(difference);
          sink.difference(difference);
        },
        onRefused(difference) {
          certain.add(difference);
          sink.refused?.(difference);
        },
        mark() {
          certain.mark();
          sink.mark?.();
        },
        commitFailed() {
          certain.reset();
          sink.commitFailed?.();
        },
        beforeCommit: sink.beforeCommit?.bind(sink),
      });
    }
    snapshots = pair.replication === null || options.isOnline
      ? await openSnapshots(pair, options)
      : await syncTable({ ...pair, replication: pair.replication }, names.source, options);
    const { source, target } = snapshots;
    const reading = new Reading(snapshots, layout, names, options, rows, sink, looks, from);
    const { method, bytes } = await interruptible(snapshots, options.signal, async () => {
      await Promise.all([holdTable(source, layout.source), holdTable(target, layout.target)]);
      if (options.where !== null) {
        await Promise.all([
          checkCondition(source, layout, "source", options.where),
          checkCondition(target, layout, "target", options.where),
        ]);
      }
      log.info(`Comparing ${names.table}`);
      await Promise.all([pinSettings(source, layout), pinSettings(target, layout)]);
      return await reading.read();
    });
    const settled = await looks?.finish() ?? { applied: 0, unsettled: 0, refused: 0, refusals: [] };
    // What differs only at first sight does not count.
    return { ...reading.counts, ...(looks === null ? {} : certain.counts), ...settled, method, bytes };
  } finally {
    pace.end(names.table);
    looks?.close();
    snapshots?.source.destroy();
    snapshots?.target.destroy();
  }
}

async function uniqueRules(
  pair: Pair,
  catalogs: { source: Queryable; target: Queryable },
  layout: Layout,
  options: SessionOptions,
): Promise<UniqueRule[]> {
  const target = await openKeyReader(pair.target, options);
  try {
    return await readUniqueRules(catalogs.source, target, layout);
  } finally {
    target.destroy();
  }
}

type Kinds = Pick<WalkCounts, "inserts" | "updates" | "deletes">;

/** Counts what is certain; takes back what was not committed. */
class CertainCounts {
  counts: Kinds = { inserts: 0, updates: 0, deletes: 0 };
  #marked: Kinds = this.counts;

  add({ kind }: Difference): void {
    const key = `${kind}s` as const;
    this.counts = { ...this.counts, [key]: this.counts[key] + 1 };
  }

  mark(): void {
    this.#marked = this.counts;
  }

  reset(): void {
    this.counts = this.#marked;
  }
}

/** A checkpoint this often is enough. */
const CHECKPOINT_MS = 1_000;
/** What the server says where the rows of a range are too large to be put together. */
const TOO_LARGE = ["54000", "53200"];

const METHOD_WORDS = {
  stream: "reading all rows",
  ranges: "hashes of key ranges first",
  buckets: "hashes of rows in buckets first",
} as const;

/** The reading of both sides, by one method or the other. */
class Reading {
  readonly counts: WalkCounts = { sourceRows: 0, targetRows: 0, inserts: 0, updates: 0, deletes: 0 };
  #bytes = 0;
  #method: Method = "stream";
  #checkpointMs = performance.now();
  readonly #codec: MergeCodec;

  constructor(
    private readonly snapshots: Snapshots,
    private readonly layout: Layout,
    private readonly names: TableNames,
    private readonly options: TableOptions,
    private readonly rows: number,
    private readonly sink: TableSink,
    private readonly looks: SecondLooks | null,
    private readonly from: Checkpoint | null,
  ) {
    this.#codec = mergeCodecOf(layout);
    if (from !== null) Object.assign(this.counts, from.counts);
  }

  async read(): Promise<{ method: Method; bytes: number }> {
    const { snapshots, layout, options, names, rows } = this;
    const { method, why, rowBytes, bytesPerSecond } = await chooseMethod({
      ...snapshots,
      layout,
      asked: this.from?.method ?? options.method,
      where: options.where,
      rows,
      bytesPerSecondMax: options.bytesPerSecondMax,
    });
    options.log.info(
      `${names.table}: ${METHOD_WORDS[method === "hash" ? hashingOf(layout)! : method]} (${why})`,
    );
    this.#method = method;
    const after = this.from?.after ?? null;
    if (method === "hash" && hashingOf(layout) === "ranges") {
      await this.#hash(rangeRows(rowBytes), gapMax(bytesPerSecond), after);
    } else if (method === "hash") await this.#hashAll(bucketCount(rows, rowBytes), after);
    else await this.#walk({ after, upTo: null });
    return { method, bytes: this.#bytes };
  }

  /** Hashes ranges, and reads those whose hashes differ. */
  async #hash(rows: number, gap: number, after: readonly Cell[] | null): Promise<void> {
    const { snapshots: { source, target }, layout, options: { where, pace, log, method, signal }, names } = this;
    let done = after;
    for await (const ranges of rangesOf(source, layout, rows, { where, after })) {
      signal.throwIfAborted();
      await Promise.all([source.exec("savepoint skyq"), target.exec("savepoint skyq")]);
      let hashes: [RangeHash[], RangeHash[]];
      try {
        hashes = await Promise.all([
          hashRanges(source, layout, "source", ranges, { rows, where }),
          hashRanges(target, layout, "target", ranges, { rows, where }),
        ]);
      } catch (error) {
        if (!(error instanceof SkyqError) || !TOO_LARGE.includes(error.sqlstate ?? "")) throw error;
        await Promise.all([source.exec("rollback to skyq"), target.exec("rollback to skyq")]);
        log.info(`${names.table}: rows are too large to be hashed together, reading the rest (${error.message})`);
        return await this.#walk({ after: done, upTo: null });
      }
      await Promise.all([source.exec("release skyq"), target.exec("release skyq")]);
      const [here, there] = hashes;
      const runs = runsOf(ranges.map((_, n) => !sameHash(here[n]!, there[n]!)), gap);
      // In the order of keys: a checkpoint on the way counts nothing that lies behind it.
      let next = 0;
      const countUpTo = (end: number) => {
        for (; next < end; next++) {
          this.counts.sourceRows += here[next]!.count;
          this.counts.targetRows += there[next]!.count;
        }
      };
      for (const [first, last] of runs) {
        countUpTo(first);
        await this.#walk({ after: ranges[first]!.after, upTo: ranges[last]!.upTo });
        next = last + 1;
      }
      countUpTo(ranges.length);
      done = ranges.at(-1)!.upTo ?? null;
      await pace.advance(names.table, this.counts.sourceRows, { bytes: 0, rows: 0 });
      if (done === null) return;
      this.#reached(done);
      const readCount = runs.reduce((sum, [first, last]) => sum + last - first + 1, 0);
      if (method === "auto" && readCount > ranges.length / 2) {
        log.info(`${names.table}: ${readCount} of ${ranges.length} ranges differ, reading the rest without hashes`);
        return await this.#walk({ after: done, upTo: null });
      }
    }
  }

  /** Hashes all rows into buckets, and reads those whose hashes differ. */
  async #hashAll(count: number, after: readonly Cell[] | null): Promise<void> {
    const { snapshots: { source, target }, layout, options: { where } } = this;
    // Which buckets differ is not remembered: a run that was stopped hashes again, and reads on where it was.
    const [here, there] = await Promise.all([
      hashBuckets(source, layout, "source", { count, where }),
      hashBuckets(target, layout, "target", { count, where }),
    ]);
    const none = { count: 0, hash: "" };
    const different: number[] = [];
    for (const bucket of new Set([...here.keys(), ...there.keys()])) {
      const [a, b] = [here.get(bucket) ?? none, there.get(bucket) ?? none];
      if (!sameHash(a, b)) different.push(bucket);
      else if (after === null) {
        this.counts.sourceRows += a.count;
        this.counts.targetRows += b.count;
      }
    }
    if (different.length > 0) await this.#walk({ after, upTo: null }, inBuckets(layout, count, different));
  }

  async #walk(range: KeyRange, buckets: string | null = null): Promise<void> {
    const { snapshots, layout, options, names, looks, sink } = this;
    const before = { ...this.counts };
    const wasBytes = this.#bytes;
    let last = { rows: 0, bytes: 0 };
    const counts = await walkTables({
      ...snapshots,
      layout,
      where: [options.where === null ? null : `(${options.where}\n)`, buckets].filter((part) =>
        part !== null
      ).join(" and ") || null,
      range,
      codec: this.#codec,
      localSort: options.localSort,
      signal: options.signal,
      onDifference: looks === null
        ? (difference) =>
          sink.difference(difference)
        : (difference) => looks.add(difference),
      onProgress: async (progress) => {
        add(this.counts, before, progress);
        this.#bytes = wasBytes + progress.bytes;
        const rows = progress.sourceRows + progress.targetRows;
        const more = { bytes: progress.bytes - last.bytes, rows: rows - last.rows };
        last = { rows, bytes: progress.bytes };
        if (this.sink.reached !== undefined && performance.now() - this.#checkpointMs > CHECKPOINT_MS) {
          const position = progress.position();
          if (position !== null) this.#reached(position);
        }
        await options.pace.advance(names.table, Math.max(this.counts.sourceRows, this.counts.targetRows), more);
      },
    });
    add(this.counts, before, counts);
  }

  #reached(after: readonly Cell[]): void {
    // What is not settled would be forgotten.
    if (this.looks !== null && !this.looks.isQuiet) return;
    this.#checkpointMs = performance.now();
    this.sink.reached?.({ after, counts: { ...this.counts }, method: this.#method });
  }
}

function add(sum: WalkCounts, a: Readonly<WalkCounts>, b: Readonly<WalkCounts>): void {
  for (const key of Object.keys(sum) as (keyof WalkCounts)[]) sum[key] = a[key] + b[key];
}
