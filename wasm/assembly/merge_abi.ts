/** What the merge and its host agree on: numbers only, so that both compilers read this one file. */

/** Raise when anything below, or the signature of an export of `merge.ts`, changes. */
export const MERGE_ABI = 1;

/** What a call of `merge` came to. */
export const enum Merge {
  /** Both sides were read to their end. */
  Done = 0,
  /** A side's next row is incomplete: push more bytes, or say that the side has ended. `Detail`: which, as below. */
  NeedInput = 1,
  /** No room for another difference: take them. */
  Full = 2,
  /** Not a CopyData message with one line in it, or the stream ends within one. `Detail`: side. */
  BadFrame = 3,
  /** A row whose key is not greater than that of the row before. `Detail`: side; its `readAt` is the row. */
  OutOfOrder = 4,
}

/** Sides by index; in `Detail` of `NeedInput` they are bits, `1 << side`. */
export const enum MergeSide {
  Source = 0,
  Target = 1,
}

/** How two key cells are compared: `KeyOrder` of the host. */
export const enum CellOrder {
  Integer = 0,
  Decimal = 1,
  Time = 2,
  Bytes = 3,
  Padded = 4,
}

/** `u32` fields of a side, by index. Addresses. */
export const enum SideSlot {
  RingStart = 0,
  RingEnd = 1,
  /** First byte of the first row that is not compared yet. */
  ReadAt = 2,
  /** First free byte. */
  FillAt = 3,
  /** The last row that was passed, or as much of it as holds its key; 0 before the first. */
  LastKeyAt = 4,
  LastKeyEnd = 5,
  IsEnded = 6,
  /** Rows passed by the last call. */
  RowCount = 7,
}
export const SIDE_BYTES = 32;

/** `u32` fields of a difference, by index: lines without frame and newline; 0, 0 where the side has no such row. */
export const enum DifferenceSlot {
  SourceAt = 0,
  SourceEnd = 1,
  TargetAt = 2,
  TargetEnd = 3,
}
export const DIFFERENCE_BYTES = 16;

/** Differences that one call can report. */
export const DIFFERENCES_MAX = 4096;
/** Columns of an index: INDEX_MAX_KEYS. */
export const KEY_COLUMNS_MAX = 32;

/** What a call of the external sort's kernels came to. */
export const enum Sort {
  /** All is written, or indexed as far as there are bytes. */
  Done = 0,
  /** `sortScan`: the index or the arena is full: sort, and write the rows out. */
  Full = 1,
  /** The output is full: take it, and call again. */
  OutputFull = 2,
  /** The next row, `RowAt` and `RowSize`, is larger than the output: take it from where it is, and call again. */
  LargeRow = 3,
  /** `sortMergeRuns`: the run `Detail` has no whole row: fill its ring, or say that it has ended. */
  NeedInput = 4,
  /** Not a CopyData message with one line in it. */
  BadFrame = 5,
}

/** `u32` fields of the sort's state, by index. */
export const enum SortSlot {
  /** Where bytes go in, first free one, and the end. */
  ArenaStart = 0,
  FillAt = 1,
  ArenaEnd = 2,
  OutputAt = 3,
  /** Bytes in the output. */
  OutputSize = 4,
  RowAt = 5,
  RowSize = 6,
  Detail = 7,
  /** The largest row seen, frame included. */
  LargestRow = 8,
  RowCount = 9,
  Runs = 10,
  /** First byte that is not in the index. */
  ScanAt = 11,
}
export const SORT_BYTES = 64;

/** `u32` fields of a run while runs are merged, by index. Addresses; written by the host. */
export const enum RunSlot {
  RingStart = 0,
  RingEnd = 1,
  ReadAt = 2,
  FillAt = 3,
  IsEnded = 4,
}
export const RUN_BYTES = 32;
/** Bytes that one call can put out. */
export const SORT_OUTPUT_BYTES = 262144;
