// All regions of linear memory, one after the other. Sizes are chosen once by `layout`; nothing moves after that, so
// the host's views never detach.
//
//   ├─ static ─┼─ registry ─┼─ part 0 ─┼─ part 1 ─┼─ scratch ─┼─ headroom ─┼─ output ─┼─ apron
//     wasm       host writes  host fills, module indexes          host writes  module → host, lent until next emission
//
//   part:      head · what it knows of each table · table ids · row index · hash slots · input arena · apron
//   registry:  head (tables, name hash) · heap: names, shapes, snapshots
//
// Kernels read and write up to 15 bytes past the end of a region: every region that bytes are read from or written to
// in blocks ends with an apron.

import { HEADROOM, PART_BYTES, TABLE_PART_BYTES, TABLES_MAX } from "./abi";

export const APRON: u32 = 64;
export const NAME_SLOTS: u32 = 2 * TABLES_MAX;
export const TABLE_BYTES: u32 = 32;
export const ROW_BYTES: u32 = 32;
/** Key values longer than this (decoded) are hashed by their beginning only; hardly an index holds keys as long. */
export const KEY_HASHED_MAX: u32 = 4 << 10;
export const SPAN_BYTES: u32 = 8;
export const SPANS_MAX: u32 = 256 << 10;
/** Registry bytes kept free so that one more table or shape has room. */
export const REGISTRY_RESERVE: u32 = 512 << 10;

/** One of the two halves of the pipeline: see `PartSlot`. */
@unmanaged
export class Part {
  arenaStart: u32;
  arenaEnd: u32;
  scanAt: u32;
  fillAt: u32;
  eventCount: u32;
  rowCount: u32;
  ignoredCount: u32;
  irregular: u32;
  firstFrame: u32;
  lastFrame: u32;
  tableCount: u32;
  detail: u32;
  rows: u32;
  hashSlots: u32;
  tableIds: u32;
  tableParts: u32;
}

/** What one part knows of one table: see `TablePartSlot`. */
@unmanaged
export class TablePart {
  firstRow: u32;
  lastRow: u32;
  rowCount: u32;
  flags: u32;
}

/** A registered table. */
@unmanaged
export class Table {
  nameAt: u32;
  nameSize: u32;
  nameHash: u32;
  take: u32;
  mode: u32;
  snapshot: u32;
  shape: u32;
  unused: u32;
}

/** One taken event. The first row of each key is its *head* and carries the key's net effect. */
@unmanaged
export class Row {
  dataAt: u32;
  dataEnd: u32;
  frameAt: u32;
  tableId: u16;
  op: u8;
  flags: u8;
  keyHash: u32;
  /** The first key column's value. */
  keyAt: u32;
  /** Next row of the same table: row index + 1, 0 at the end. */
  next: u32;
  /** In a head: index of the latest row of this key. */
  latest: u32;
}

export const enum RowFlag {
  Head = 1,
  /** The key was there before the part. */
  Existed = 2,
  /** The key is there after the part. */
  Present = 4,
  /** It was there, was deleted, and was inserted anew: if it is there now, that is another row. */
  Reinserted = 8,
  /** Every name is written as the shape has it, with no empty element: names can be skipped by size. */
  Canonical = 16,
}

export let tablesBase: u32 = 0;
export let nameSlotsBase: u32 = 0;
export let heapBase: u32 = 0;
export let heapEnd: u32 = 0;
export let partsBase: u32 = 0;
export let keyScratch: u32 = 0;
export let spansBase: u32 = 0;
export let emitBase: u32 = 0;
export let outBase: u32 = 0;
export let outEnd: u32 = 0;
export let rowSizeMax: u32 = 0;
export let rowCountMax: u32 = 0;
export let hashMask: u32 = 0;

function aligned(address: u32): u32 {
  return (address + 63) & ~63;
}

/**
 * Chooses all addresses and grows memory to hold them. Sizes in bytes; `rowsMax` is a power of two. To be called once.
 * @returns bytes of memory in use, 0 when a memory cannot have as many
 */
export function layout(registrySize: u32, arenaSize0: u32, arenaSize1: u32, rowSize: u32, rowsMax: u32): u32 {
  rowSizeMax = rowSize;
  rowCountMax = rowsMax;
  hashMask = 2 * rowsMax - 1;
  const indexSize: u64 = <u64> rowsMax * (ROW_BYTES + 2 * 4);
  const outSize: u64 = 2 * <u64> rowSize + (256 << 10);
  const total: u64 = <u64> aligned(<u32> __heap_base) + registrySize + arenaSize0 + arenaSize1 + 2 * indexSize +
    outSize + SPANS_MAX * SPAN_BYTES + (2 << 20);
  if (total > <u64> 0xffff0000) return 0;
  if (memory.grow(<i32> ((total + 0xffff) >> 16) - memory.size()) < 0) return 0;

  let at = aligned(<u32> __heap_base);
  tablesBase = at;
  nameSlotsBase = tablesBase + TABLES_MAX * TABLE_BYTES;
  heapBase = nameSlotsBase + NAME_SLOTS * 2;
  heapEnd = at + registrySize;
  at = aligned(heapEnd + APRON);

  partsBase = at;
  at = aligned(at + 2 * PART_BYTES);
  for (let i: u32 = 0; i < 2; i++) {
    const part = partAt(i);
    part.tableParts = at;
    at = aligned(at + TABLES_MAX * TABLE_PART_BYTES);
    part.tableIds = at;
    at = aligned(at + TABLES_MAX * 2);
    part.rows = at;
    at = aligned(at + rowsMax * ROW_BYTES);
    part.hashSlots = at;
    at = aligned(at + 2 * rowsMax * 4);
    part.arenaStart = at;
    part.arenaEnd = at + (i == 0 ? arenaSize0 : arenaSize1);
    at = aligned(part.arenaEnd + APRON);
  }

  keyScratch = at;
  at = aligned(at + 3 * KEY_HASHED_MAX + APRON);
  spansBase = at;
  at = aligned(at + SPANS_MAX * SPAN_BYTES);
  emitBase = at;
  outBase = aligned(at + 64 + HEADROOM);
  outEnd = outBase + <u32> outSize;
  assert(aligned(outEnd + APRON) <= total);
  return aligned(outEnd + APRON);
}

export function partAt(index: u32): Part {
  return changetype<Part>(partsBase + index * PART_BYTES);
}

export function tableAt(id: u32): Table {
  return changetype<Table>(tablesBase + id * TABLE_BYTES);
}

export function tablePartAt(part: Part, tableId: u32): TablePart {
  return changetype<TablePart>(part.tableParts + tableId * TABLE_PART_BYTES);
}

export function rowAt(part: Part, index: u32): Row {
  return changetype<Row>(part.rows + index * ROW_BYTES);
}
