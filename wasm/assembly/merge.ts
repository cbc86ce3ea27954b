// Walks two streams of rows in key order and reports where they differ. Both come as CopyData frames with one line each
//
//   d ┊ size ┊ key cell ⇥ … ⇥ cell ⏎
//   1    4
//
//   ├─ state, key orders ─┼─ differences ─┼─ source ring ─┼─ apron ─┼─ target ring ─┼─ apron
//                           module → host   host → module
//
// Rows whose bytes are the same are passed together; keys are only looked into to see that they ascend, without which
// no difference could be believed. Nothing is copied: differences are addresses, good until the host pushes again.

import { sameBytes } from "./bytes";
import {
  DIFFERENCE_BYTES,
  DIFFERENCES_MAX,
  KEY_COLUMNS_MAX,
  Merge,
  MERGE_ABI,
  MergeSide,
  SIDE_BYTES,
} from "./merge_abi";
import { compareKeys, endOfKey, useKeys } from "./merge_keys";

const FRAME_HEAD: u32 = 5;
const APRON: u32 = 64;
/** A server makes no message larger than 1 GiB. */
const FRAME_SIZE_MAX: u32 = 1 << 30;

/** See `SideSlot`. */
@unmanaged
export class Side {
  ringStart: u32;
  ringEnd: u32;
  readAt: u32;
  fillAt: u32;
  lastKeyAt: u32;
  lastKeyEnd: u32;
  isEnded: u32;
  rowCount: u32;
}

/** See `DifferenceSlot`. */
@unmanaged
export class Difference {
  sourceAt: u32;
  sourceEnd: u32;
  targetAt: u32;
  targetEnd: u32;
}

export let mergeSides: u32 = 0;
export let mergeKeyOrders: u32 = 0;
export let mergeDifferences: u32 = 0;
/** Of the last call. */
export let mergeDifferenceCount: u32 = 0;
export let mergeDetail: u32 = 0;

export function mergeAbi(): u32 {
  return MERGE_ABI;
}

function aligned(address: u32): u32 {
  return (address + 63) & ~63;
}

function sideAt(index: u32): Side {
  return changetype<Side>(mergeSides + index * SIDE_BYTES);
}

/**
 * Chooses all addresses and grows memory to hold them; `keyCount` orders are then to be written at `mergeKeyOrders`. To
 * be called once, in an instance that does nothing else.
 * @returns bytes of memory in use, 0 when a memory cannot have as many
 */
export function mergeLayout(sourceRing: u32, targetRing: u32, keyCount: u32): u32 {
  const total: u64 = <u64> aligned(<u32> __heap_base) + sourceRing + targetRing + DIFFERENCES_MAX * DIFFERENCE_BYTES +
    (16 << 10);
  if (total > <u64> 0xffff0000) return 0;
  if (memory.grow(<i32> ((total + 0xffff) >> 16) - memory.size()) < 0) return 0;
  let at = aligned(<u32> __heap_base);
  mergeSides = at;
  at = aligned(at + 2 * SIDE_BYTES);
  mergeKeyOrders = at;
  useKeys(at, keyCount);
  at = aligned(at + KEY_COLUMNS_MAX);
  mergeDifferences = at;
  at = aligned(at + DIFFERENCES_MAX * DIFFERENCE_BYTES);
  for (let i: u32 = 0; i < 2; i++) {
    const side = sideAt(i);
    side.ringStart = at;
    side.readAt = at;
    side.fillAt = at;
    side.ringEnd = at + (i == MergeSide.Source ? sourceRing : targetRing);
    at = aligned(side.ringEnd + APRON);
  }
  assert(at <= total);
  return at;
}

/** What `nextRow` says when there is none. */
const NO_ROW: u32 = 0;
const INCOMPLETE: u32 = 1;
const MALFORMED: u32 = 2;

/** @returns the size of the frame at `at`, more than `MALFORMED`, or why there is none */
// @ts-ignore: decorator

function nextRow(side: Side, at: usize): u32 {
  const left = side.fillAt - <u32> at;
  if (left < FRAME_HEAD) {
    if (left == 0 && side.isEnded != 0) return NO_ROW;
    return side.isEnded != 0 ? MALFORMED : INCOMPLETE;
  }
  if (load<u8>(at) != 0x64) return MALFORMED;
  const size = bswap<u32>(load<u32>(at, 1)) + 1;
  if (size <= FRAME_HEAD || size > FRAME_SIZE_MAX) return MALFORMED;
  if (size > left) return side.isEnded != 0 ? MALFORMED : INCOMPLETE;
  return load<u8>(at + size - 1) == 0x0a ? size : MALFORMED;
}

/** Whether the row is the first of its side, or its key is greater than the last one's. */
// @ts-ignore: decorator

function ascends(side: Side, row: usize, rowEnd: usize): bool {
  return side.lastKeyAt == 0 || compareKeys(side.lastKeyAt, side.lastKeyEnd, row, rowEnd) < 0;
}

// @ts-ignore: decorator

function pass(side: Side, row: usize, rowEnd: usize): void {
  side.lastKeyAt = <u32> row;
  side.lastKeyEnd = <u32> rowEnd;
  side.readAt = <u32> rowEnd + 1;
  side.rowCount++;
}

/**
 * Passes rows that are the same on both sides, as long as they are complete and ascend. What it stops at, whatever it
 * is, is looked at by `merge`. The last rows of both sides must be the same.
 */
function passLevel(source: Side, target: Side): void {
  const sourceEnd = source.fillAt;
  const targetEnd = target.fillAt;
  let at = source.readAt;
  let other = target.readAt;
  let last = source.lastKeyAt;
  let lastEnd = source.lastKeyEnd;
  let count: u32 = 0;
  while (sourceEnd - at >= FRAME_HEAD && targetEnd - other >= FRAME_HEAD) {
    if (load<u8>(at) != 0x64 || load<u8>(other) != 0x64) break;
    const size = bswap<u32>(load<u32>(at, 1)) + 1;
    if (size <= FRAME_HEAD || size > sourceEnd - at || size > targetEnd - other) break;
    if (!sameBytes(at + 1, other + 1, size - 1)) break;
    const end = at + size - 1;
    if (load<u8>(end) != 0x0a) break;
    const row = at + FRAME_HEAD;
    if (compareKeys(last, lastEnd, row, end) >= 0) break;
    last = row;
    lastEnd = end;
    at += size;
    other += size;
    count++;
  }
  if (count == 0) return;
  source.lastKeyAt = last;
  source.lastKeyEnd = lastEnd;
  source.readAt = at;
  source.rowCount += count;
  target.lastKeyAt = other - (at - last);
  target.lastKeyEnd = other - (at - lastEnd);
  target.readAt = other;
  target.rowCount += count;
}

/** Compares rows until one side has no complete row, or there is no room for differences. */
export function merge(): Merge {
  const source = sideAt(MergeSide.Source);
  const target = sideAt(MergeSide.Target);
  source.rowCount = 0;
  target.rowCount = 0;
  mergeDifferenceCount = 0;
  // Rows that were seen to ascend while they waited for the other side.
  let sourceSeen: usize = 0;
  let targetSeen: usize = 0;
  while (true) {
    const sourceSize = nextRow(source, source.readAt);
    const targetSize = nextRow(target, target.readAt);
    if (sourceSize == MALFORMED || targetSize == MALFORMED) {
      mergeDetail = sourceSize == MALFORMED ? MergeSide.Source : MergeSide.Target;
      return Merge.BadFrame;
    }
    if (sourceSize == INCOMPLETE || targetSize == INCOMPLETE) {
      mergeDetail = (sourceSize == INCOMPLETE ? 1 << MergeSide.Source : 0) |
        (targetSize == INCOMPLETE ? 1 << MergeSide.Target : 0);
      return Merge.NeedInput;
    }
    if (sourceSize == NO_ROW && targetSize == NO_ROW) return Merge.Done;
    const sourceRow: usize = source.readAt + FRAME_HEAD;
    const sourceEnd: usize = source.readAt + sourceSize - 1;
    const targetRow: usize = target.readAt + FRAME_HEAD;
    const targetEnd: usize = target.readAt + targetSize - 1;
    if (sourceSize != NO_ROW && sourceSeen != sourceRow) {
      if (!ascends(source, sourceRow, sourceEnd)) return outOfOrder(MergeSide.Source);
      sourceSeen = sourceRow;
    }
    if (targetSize != NO_ROW && targetSeen != targetRow) {
      if (!ascends(target, targetRow, targetEnd)) return outOfOrder(MergeSide.Target);
      targetSeen = targetRow;
    }

    if (sourceSize == targetSize && sameBytes(sourceRow, targetRow, sourceSize - FRAME_HEAD)) {
      pass(source, sourceRow, sourceEnd);
      pass(target, targetRow, targetEnd);
      passLevel(source, target);
      continue;
    }

    if (mergeDifferenceCount == DIFFERENCES_MAX) return Merge.Full;
    const order = sourceSize == NO_ROW
      ? 1
      : targetSize == NO_ROW
      ? -1
      : compareKeys(sourceRow, sourceEnd, targetRow, targetEnd);
    const difference = changetype<Difference>(mergeDifferences + mergeDifferenceCount * DIFFERENCE_BYTES);
    difference.sourceAt = order <= 0 ? <u32> sourceRow : 0;
    difference.sourceEnd = order <= 0 ? <u32> sourceEnd : 0;
    difference.targetAt = order >= 0 ? <u32> targetRow : 0;
    difference.targetEnd = order >= 0 ? <u32> targetEnd : 0;
    mergeDifferenceCount++;
    if (order <= 0) pass(source, sourceRow, sourceEnd);
    if (order >= 0) pass(target, targetRow, targetEnd);
  }
}

function outOfOrder(side: MergeSide): Merge {
  mergeDetail = side;
  return Merge.OutOfOrder;
}

/**
 * Slides what is not compared yet to the front of a side's ring, behind the last key.
 * @returns free bytes behind it
 */
export function mergeMakeRoom(index: u32): u32 {
  const side = sideAt(index);
  let at = side.ringStart;
  if (side.lastKeyAt != 0) {
    const size = <u32> (endOfKey(side.lastKeyAt, side.lastKeyEnd) - side.lastKeyAt);
    memory.copy(at, side.lastKeyAt, size);
    side.lastKeyAt = at;
    at += size;
    side.lastKeyEnd = at;
  }
  const unread = side.fillAt - side.readAt;
  memory.copy(at, side.readAt, unread);
  side.readAt = at;
  side.fillAt = at + unread;
  return side.ringEnd - side.fillAt;
}

/** Of the sides the one whose last key is the greater one. */
export function mergeFrontier(): MergeSide {
  const source = sideAt(MergeSide.Source);
  const target = sideAt(MergeSide.Target);
  if (source.lastKeyAt == 0) return MergeSide.Target;
  if (target.lastKeyAt == 0) return MergeSide.Source;
  const order = compareKeys(source.lastKeyAt, source.lastKeyEnd, target.lastKeyAt, target.lastKeyEnd);
  return order < 0 ? MergeSide.Target : MergeSide.Source;
}
