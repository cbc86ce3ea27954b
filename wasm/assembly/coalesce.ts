// Step 4 of 7: the net effect per key. The first row of a key in a part is its head and goes into the hash slots; later
// rows of the key only change the head. What existed before the part is inferred from the first event: nobody updates
// or deletes what is not there.
//
//   first   …   last         net effect
//   I           I U          insert the last row
//   I           D            nothing
//   U D         U            update to the last row
//   U D         D            delete
//   U D   …D I  U*           delete, insert the last row: columns that are not in the event get their defaults
//
// An upsert table (the copy may or may not have the rows) knows no such thing: the last event alone counts, and whatever
// row of the key is there goes first.

import { COLUMN_BYTES, ColumnFlag, ColumnSlot, Mode, Net, Op, ShapeSlot, TablePartFlag } from "./abi";
import { findByte, sameBytes } from "./bytes";
import { openElement, sameDecoded, stoppedAt } from "./decode";
import { hashMask, Part, Row, rowAt, RowFlag, Table, TablePart } from "./memory";
import { shapeField } from "./registry";

/** Enters row `index` of `part`; its table has keys and is not in ordered mode. */
export function coalesce(part: Part, table: Table, tablePart: TablePart, index: u32): void {
  const row = rowAt(part, index);
  let slot = row.keyHash & hashMask;
  while (true) {
    const headIndex = load<u32>(part.hashSlots + slot * 4);
    if (headIndex == 0) break;
    const head = rowAt(part, headIndex - 1);
    if (head.keyHash == row.keyHash && head.tableId == row.tableId && sameKey(table.shape, head, row)) {
      follow(part, table, tablePart, head, row.op);
      head.latest = index;
      return;
    }
    slot = (slot + 1) & hashMask;
  }
  store<u32>(part.hashSlots + slot * 4, index + 1);
  row.latest = index;
  row.flags |= <u8> RowFlag.Head;
  if (row.op != Op.Insert) row.flags |= <u8> RowFlag.Existed;
  if (row.op != Op.Delete) row.flags |= <u8> RowFlag.Present;
}

/** The key of `head` meets another event. */
function follow(part: Part, table: Table, tablePart: TablePart, head: Row, op: u8): void {
  const isPresent = (head.flags & RowFlag.Present) != 0;
  if (table.mode == Mode.Net && isPresent == (op == Op.Insert)) {
    // Inserted twice, or changed after its deletion: in order, the server says what is wrong with that.
    tablePart.flags |= TablePartFlag.NeedsOrdered;
    part.irregular = 1;
  }
  if (op == Op.Delete) {
    head.flags &= <u8> ~RowFlag.Present;
  } else {
    if (op == Op.Insert && (head.flags & RowFlag.Existed) != 0) head.flags |= <u8> RowFlag.Reinserted;
    head.flags |= <u8> RowFlag.Present;
  }
}

/** What the key of `row` came to, as `Net` bits; 0 for nothing and for rows that are no head. */
export function netOf(mode: u32, row: Row): u32 {
  const flags = row.flags;
  if ((flags & RowFlag.Head) == 0) return 0;
  const isPresent = (flags & RowFlag.Present) != 0;
  if (mode == Mode.Upsert) return isPresent ? Net.Delete | Net.Insert : Net.Delete;
  if ((flags & RowFlag.Existed) == 0) return isPresent ? Net.Insert : 0;
  if (!isPresent) return Net.Delete;
  return (flags & RowFlag.Reinserted) != 0 ? Net.Delete | Net.Insert : Net.Update;
}

/** Whether two rows of one shape have the same key. Their hashes are known to be the same. */
function sameKey(shape: usize, a: Row, b: Row): bool {
  const aEnd: usize = a.dataEnd;
  const bEnd: usize = b.dataEnd;
  let aAt: usize = a.keyAt;
  let bAt: usize = b.keyAt;
  const lastKey = shapeField(shape, ShapeSlot.LastKey);
  let i = shapeField(shape, ShapeSlot.FirstKey);
  while (true) {
    const column = columnAt(shape, i);
    const aStop = aAt != 0 ? findByte(aAt, aEnd, 0x26) : aNull;
    const bStop = bAt != 0 ? findByte(bAt, bEnd, 0x26) : bNull;
    if ((load<u32>(column, 4 * ColumnSlot.Flags) & ColumnFlag.Key) != 0) {
      const isSame = aStop - aAt == bStop - bAt && sameBytes(aAt, bAt, <u32> (aStop - aAt));
      if (!isSame && !sameDecoded(aAt, aStop, bAt, bStop)) return false;
    }
    if (i == lastKey) return true;
    i++;
    const nameSize = load<u32>(columnAt(shape, i), 4 * ColumnSlot.NameSize);
    aAt = openElement(aStop + 1, aEnd, nameSize, (a.flags & RowFlag.Canonical) != 0);
    aNull = stoppedAt;
    bAt = openElement(bStop + 1, bEnd, nameSize, (b.flags & RowFlag.Canonical) != 0);
    bNull = stoppedAt;
  }
}

// Ends of the NULL elements that sameKey stands at.
let aNull: usize = 0;
let bNull: usize = 0;

/** @returns the address of the `index`th column of a shape */
export function columnAt(shape: usize, index: u32): usize {
  return shape + 4 * <usize> ShapeSlot.Columns + index * COLUMN_BYTES;
}
