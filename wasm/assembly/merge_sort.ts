// Sorts CopyData frames by key where the server cannot, in runs that the host keeps on disk:
//
//   fill arena ─▶ scan: index of rows ─▶ sort: index in order ─▶ write: rows in order ─▶ a run
//   rings of runs, a heap of their first rows ─▶ merge: rows in order ─▶ the next run, or the result
//
//   ├─ state, key orders ─┼─ output ─┼─ apron ─┼─ index ─┼─ second index ─┼─ arena or rings ─┼─ apron
//
// The order is that of `merge_keys.ts`, and rows with equal keys stay: the merge behind will complain of them.

import { compareKeys, useKeys } from "./merge_keys";
import { KEY_COLUMNS_MAX, RUN_BYTES, Sort, SORT_BYTES, SORT_OUTPUT_BYTES } from "./merge_abi";

const FRAME_HEAD: u32 = 5;
const FRAME_SIZE_MAX: u32 = 1 << 30;
const OUTPUT_SIZE: u32 = SORT_OUTPUT_BYTES;
const APRON: u32 = 64;
/** Pieces of the index that are sorted by insertion. */
const PIECE: u32 = 8;

/** See `SortSlot`. */
@unmanaged
export class State {
  arenaStart: u32;
  fillAt: u32;
  arenaEnd: u32;
  outputAt: u32;
  outputSize: u32;
  rowAt: u32;
  rowSize: u32;
  detail: u32;
  largestRow: u32;
  rowCount: u32;
  runs: u32;
  scanAt: u32;
  index: u32;
  spare: u32;
  indexMax: u32;
  /** Rows of the index, or runs of the heap, that are written. */
  written: u32;
}

/** See `RunSlot`. */
@unmanaged
export class Run {
  ringStart: u32;
  ringEnd: u32;
  readAt: u32;
  fillAt: u32;
  isEnded: u32;
}

export let sortState: u32 = 0;
export let sortKeyOrders: u32 = 0;
/** Runs that still have rows, and whether the first of the heap has to be looked at again. */
let heapSize: u32 = 0;
let isHeapBuilt: bool = false;
let isTopTaken: bool = false;
let runCount: u32 = 0;

function aligned(address: u32): u32 {
  return (address + 63) & ~63;
}

function state(): State {
  return changetype<State>(sortState);
}

/**
 * Chooses all addresses and grows memory where it has to; `keyCount` orders are then to be written at `sortKeyOrders`. In
 * an instance that does nothing else; called again, it forgets everything.
 * @param rowsMax rows of the index; for merging runs 0
 * @param runs runs to merge, each with a ring in the arena that the host cuts up; for sorting 0
 * @returns bytes of memory in use, 0 when a memory cannot have as many
 */
export function sortLayout(arenaSize: u32, rowsMax: u32, runs: u32, keyCount: u32): u32 {
  const slots: u64 = <u64> rowsMax * 8 + <u64> runs * (RUN_BYTES + 4);
  const total: u64 = <u64> aligned(<u32> __heap_base) + arenaSize + slots + SORT_OUTPUT_BYTES + (16 << 10);
  if (total > <u64> 0xffff0000) return 0;
  const pages = <i32> ((total + 0xffff) >> 16);
  if (pages > memory.size() && memory.grow(pages - memory.size()) < 0) return 0;
  let at = aligned(<u32> __heap_base);
  sortState = at;
  const s = state();
  memory.fill(at, 0, SORT_BYTES);
  heapSize = 0;
  isHeapBuilt = false;
  isTopTaken = false;
  at = aligned(at + SORT_BYTES);
  sortKeyOrders = at;
  useKeys(at, keyCount);
  at = aligned(at + KEY_COLUMNS_MAX);
  s.outputAt = at;
  at = aligned(at + SORT_OUTPUT_BYTES + APRON);
  s.index = at;
  s.indexMax = rowsMax;
  at = aligned(at + 4 * max(rowsMax, runs));
  s.spare = at;
  at = aligned(at + 4 * rowsMax);
  s.runs = at;
  runCount = runs;
  memory.fill(at, 0, runs * RUN_BYTES);
  at = aligned(at + runs * RUN_BYTES);
  s.arenaStart = at;
  s.fillAt = at;
  s.scanAt = at;
  s.arenaEnd = at + arenaSize;
  at = aligned(s.arenaEnd + APRON);
  assert(at <= total);
  return at;
}

/** The size of the frame at `at`, 0 when it is not whole, 1 when it is none. */
// @ts-ignore: decorator

function frameSize(at: u32, end: u32): u32 {
  const left = end - at;
  if (left < FRAME_HEAD) return 0;
  if (load<u8>(at) != 0x64) return 1;
  const size = bswap<u32>(load<u32>(at, 1)) + 1;
  if (size <= FRAME_HEAD || size > FRAME_SIZE_MAX) return 1;
  if (size > left) return 0;
  return load<u8>(at + size - 1) == 0x0a ? size : 1;
}

// @ts-ignore: decorator

function frameSizeAt(at: u32): u32 {
  return bswap<u32>(load<u32>(at, 1)) + 1;
}

// @ts-ignore: decorator

function compareFrames(a: u32, b: u32): i32 {
  return compareKeys(a + FRAME_HEAD, a + frameSizeAt(a) - 1, b + FRAME_HEAD, b + frameSizeAt(b) - 1);
}

/** Adds the rows that have come to the index. `Full` when there is no room for the next one. */
export function sortScan(): Sort {
  const s = state();
  while (true) {
    if (s.rowCount == s.indexMax) return Sort.Full;
    const size = frameSize(s.scanAt, s.fillAt);
    if (size == 1) return Sort.BadFrame;
    if (size == 0) return s.fillAt == s.arenaEnd ? Sort.Full : Sort.Done;
    store<u32>(s.index + 4 * s.rowCount++, s.scanAt);
    s.largestRow = max(s.largestRow, size);
    s.scanAt += size;
  }
}

/** Bytes of the row that stands at the end of the arena and is not whole, 0 when there is none or its head is not. */
export function sortWanted(): u32 {
  const s = state();
  return s.fillAt - s.scanAt < FRAME_HEAD ? 0 : frameSizeAt(s.scanAt);
}

/** Puts the index in order: pieces by insertion, then merged two by two. */
export function sortRows(): void {
  const s = state();
  const count = s.rowCount;
  s.written = 0;
  for (let start: u32 = 0; start < count; start += PIECE) insertionSort(s.index, start, min(start + PIECE, count));
  for (let width: u32 = PIECE; width < count; width *= 2) {
    for (let start: u32 = 0; start < count; start += 2 * width) {
      mergePieces(s.index, s.spare, start, min(start + width, count), min(start + 2 * width, count));
    }
    const index = s.index;
    s.index = s.spare;
    s.spare = index;
  }
}

function insertionSort(index: u32, start: u32, end: u32): void {
  for (let i = start + 1; i < end; i++) {
    const row = load<u32>(index + 4 * i);
    let at = i;
    while (at > start && compareFrames(load<u32>(index + 4 * (at - 1)), row) > 0) {
      store<u32>(index + 4 * at, load<u32>(index + 4 * (at - 1)));
      at--;
    }
    store<u32>(index + 4 * at, row);
  }
}

function mergePieces(from: u32, to: u32, start: u32, middle: u32, end: u32): void {
  // Rows often come in order already.
  if (middle == end || compareFrames(load<u32>(from + 4 * (middle - 1)), load<u32>(from + 4 * middle)) <= 0) {
    memory.copy(to + 4 * start, from + 4 * start, 4 * (end - start));
    return;
  }
  let left = start;
  let right = middle;
  for (let at = start; at < end; at++) {
    const takesLeft = right == end ||
      left < middle && compareFrames(load<u32>(from + 4 * left), load<u32>(from + 4 * right)) <= 0;
    store<u32>(to + 4 * at, load<u32>(from + 4 * (takesLeft ? left++ : right++)));
  }
}

/** Writes the indexed rows, in order, to the output. `Done` when the last ones are there. */
export function sortWrite(): Sort {
  const s = state();
  s.outputSize = 0;
  while (s.written < s.rowCount) {
    const status = put(s, load<u32>(s.index + 4 * s.written));
    if (status == Sort.OutputFull) return status;
    s.written++;
    if (status != Sort.Done) return status;
  }
  return Sort.Done;
}

/** Copies a row to the output. `LargeRow` when the host has to take it: then it counts as written. */
function put(s: State, row: u32): Sort {
  const size = frameSizeAt(row);
  if (size > OUTPUT_SIZE - s.outputSize) {
    if (s.outputSize != 0 || size <= OUTPUT_SIZE) return Sort.OutputFull;
    s.rowAt = row;
    s.rowSize = size;
    return Sort.LargeRow;
  }
  memory.copy(s.outputAt + s.outputSize, row, size);
  s.outputSize += size;
  return Sort.Done;
}

/** Forgets the rows that are written; what is behind them moves to the front. */
export function sortReset(): void {
  const s = state();
  const left = s.fillAt - s.scanAt;
  memory.copy(s.arenaStart, s.scanAt, left);
  s.scanAt = s.arenaStart;
  s.fillAt = s.arenaStart + left;
  s.rowCount = 0;
  s.largestRow = 0;
}

// ---- merging runs

function runAt(index: u32): Run {
  return changetype<Run>(state().runs + index * RUN_BYTES);
}

/** Moves what is left of a run to the front of its ring. @returns free bytes behind it */
export function sortRunMakeRoom(index: u32): u32 {
  const run = runAt(index);
  const left = run.fillAt - run.readAt;
  memory.copy(run.ringStart, run.readAt, left);
  run.readAt = run.ringStart;
  run.fillAt = run.ringStart + left;
  return run.ringEnd - run.fillAt;
}

/** Merges the runs' rows to the output. */
export function sortMergeRuns(): Sort {
  const s = state();
  s.outputSize = 0;
  if (!isHeapBuilt) {
    // s.written runs were seen to have a first row, or none at all.
    for (; s.written < runCount; s.written++) {
      const status = firstRow(s, s.written);
      if (status == Sort.NeedInput || status == Sort.BadFrame) return status;
      if (status == Sort.Full) continue;
      store<u32>(s.index + 4 * heapSize, s.written);
      heapSize++;
    }
    for (let i = <i32> (heapSize >> 1) - 1; i >= 0; i--) siftDown(s, <u32> i);
    isHeapBuilt = true;
  }
  while (true) {
    if (isTopTaken) {
      const status = firstRow(s, load<u32>(s.index));
      if (status == Sort.NeedInput || status == Sort.BadFrame) return status;
      if (status == Sort.Full) store<u32>(s.index, load<u32>(s.index + 4 * --heapSize));
      isTopTaken = false;
      siftDown(s, 0);
    }
    if (heapSize == 0) return Sort.Done;
    const run = runAt(load<u32>(s.index));
    const status = put(s, run.readAt);
    if (status == Sort.OutputFull) return status;
    run.readAt += frameSizeAt(run.readAt);
    isTopTaken = true;
    if (status != Sort.Done) return status;
  }
}

/** `Done` when the run has a whole row, `Full` when it has no more. */
function firstRow(s: State, index: u32): Sort {
  const run = runAt(index);
  s.detail = index;
  const size = frameSize(run.readAt, run.fillAt);
  if (size > 1) return Sort.Done;
  if (size == 1) return Sort.BadFrame;
  if (run.isEnded == 0) return Sort.NeedInput;
  return run.readAt == run.fillAt ? Sort.Full : Sort.BadFrame;
}

function siftDown(s: State, at: u32): void {
  while (true) {
    let child: u32 = 2 * at + 1;
    if (child >= heapSize) return;
    if (child + 1 < heapSize && comesFirst(s, child + 1, child)) child++;
    if (!comesFirst(s, child, at)) return;
    const index = load<u32>(s.index + 4 * at);
    store<u32>(s.index + 4 * at, load<u32>(s.index + 4 * child));
    store<u32>(s.index + 4 * child, index);
    at = child;
  }
}

function comesFirst(s: State, a: u32, b: u32): bool {
  return compareFrames(runAt(load<u32>(s.index + 4 * a)).readAt, runAt(load<u32>(s.index + 4 * b)).readAt) < 0;
}
