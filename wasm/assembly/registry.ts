// What the host has told about tables: names, which events to take, the shape of rows. Names are found through an open
// hash of `u16` ids; names, shapes and snapshots lie in a heap that only grows until the registry is reset.

import { ShapeSlot, SNAPSHOT_HEAD_BYTES, TABLES_MAX, Take } from "./abi";
import { hashBytes, sameBytes } from "./bytes";
import {
  APRON,
  heapBase,
  heapEnd,
  NAME_SLOTS,
  nameSlotsBase,
  partAt,
  REGISTRY_RESERVE,
  Table,
  tableAt,
  tablePartAt,
} from "./memory";

export const NO_TABLE: u32 = 0xffffffff;

let heapAt: u32 = 0;
let tableCount: u32 = 0;
/** The table found last: events of one table come in runs. */
let recentTable: u32 = 0;

/** Forgets all tables. Neither part may hold rows. */
export function resetRegistry(): void {
  memory.fill(nameSlotsBase, 0, NAME_SLOTS * 2);
  heapAt = heapBase;
  tableCount = 0;
}

/** Whether one more table or shape of any sensible size has room. */
export function registryHasRoom(): bool {
  return heapEnd - heapAt >= REGISTRY_RESERVE && tableCount < <u32> TABLES_MAX;
}

/**
 * Room in the registry's heap for the host to write a name, shape or snapshot into; 16-byte aligned, with an apron.
 * @returns its address, 0 when there is none
 */
export function reserve(size: u32): u32 {
  const at = (heapAt + 15) & ~15;
  if (size > heapEnd - APRON || at > heapEnd - APRON - size) return 0;
  heapAt = at + size;
  return at;
}

/** Registers the table whose name, as it stands in ev_extra1, is at `nameAt`. @returns its id, `NO_TABLE` when full */
export function addTable(nameAt: u32, nameSize: u32): u32 {
  if (tableCount == <u32> TABLES_MAX) return NO_TABLE;
  const id = tableCount++;
  const table = tableAt(id);
  memory.fill(changetype<usize>(table), 0, offsetof<Table>());
  table.nameAt = nameAt;
  table.nameSize = nameSize;
  table.nameHash = nameHash(nameAt, nameSize);
  let slot = table.nameHash & (NAME_SLOTS - 1);
  while (load<u16>(nameSlotsBase + slot * 2) != 0) slot = (slot + 1) & (NAME_SLOTS - 1);
  store<u16>(nameSlotsBase + slot * 2, <u16> (id + 1));
  return id;
}

/** @param snapshot address of a snapshot, read when `take` says so */
export function setTable(id: u32, take: u32, mode: u32, snapshot: u32): void {
  const table = tableAt(id);
  table.take = take;
  table.mode = mode;
  table.snapshot = snapshot;
}

export function setShape(id: u32, shape: u32): void {
  tableAt(id).shape = shape;
}

/** Taken rows of the table in both parts. */
export function rowsHeld(id: u32): u32 {
  return tablePartAt(partAt(0), id).rowCount + tablePartAt(partAt(1), id).rowCount;
}

function nameHash(at: usize, size: u32): u32 {
  return <u32> hashBytes(at, size, 0);
}

/** @returns the id of the table with the name at `at`, or `NO_TABLE` */
export function findTable(at: usize, size: u32): u32 {
  if (recentTable < tableCount) {
    const recent = tableAt(recentTable);
    if (recent.nameSize == size && sameBytes(recent.nameAt, at, size)) return recentTable;
  }
  const hash = nameHash(at, size);
  let slot = hash & (NAME_SLOTS - 1);
  while (true) {
    const id: u32 = load<u16>(nameSlotsBase + slot * 2);
    if (id == 0) return NO_TABLE;
    const table = tableAt(id - 1);
    if (table.nameHash == hash && table.nameSize == size && sameBytes(table.nameAt, at, size)) {
      recentTable = id - 1;
      return recentTable;
    }
    slot = (slot + 1) & (NAME_SLOTS - 1);
  }
}

/** Whether events of transaction `txid` are to be taken. */
export function takes(table: Table, txid: u64): bool {
  return table.take == Take.All || !isVisible(table.snapshot, txid);
}

/** Whether `txid` had ended when the snapshot was taken. */
export function isVisible(snapshot: usize, txid: u64): bool {
  if (txid < load<u64>(snapshot)) return true;
  if (txid >= load<u64>(snapshot, 8)) return false;
  let low: u32 = 0;
  let high = load<u32>(snapshot, 16);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const running = load<u64>(snapshot + SNAPSHOT_HEAD_BYTES + 8 * middle);
    if (running == txid) return false;
    if (running < txid) low = middle + 1;
    else high = middle;
  }
  return true;
}

/** One `u32` field of a shape. */
export function shapeField(shape: usize, slot: ShapeSlot): u32 {
  return load<u32>(shape + 4 * <usize> slot);
}
