// Rows leave as bytes that the server takes directly. Each call starts at a cursor, fills the output and says where to
// go on. No row can be too large for an empty output: decoded and escaped it has at most twice its bytes.

import { COLUMN_BYTES, ColumnFlag, ColumnSlot, EmitSlot, Net, Op, ShapeSlot, TablePartFlag } from "./abi";
import { findByte } from "./bytes";
import { columnAt, netOf } from "./coalesce";
import { copyValue, decodeValue, openElement, stoppedAt } from "./decode";
import {
  emitBase,
  outBase,
  outEnd,
  Part,
  partAt,
  Row,
  rowAt,
  RowFlag,
  SPAN_BYTES,
  SPANS_MAX,
  spansBase,
  tableAt,
  tablePartAt,
} from "./memory";
import { shapeField } from "./registry";

/** Pieces of a stream are cut about here: large enough to be worth a system call, small enough for the cache. */
const PIECE_SIZE: u32 = 1 << 20;
const TEXT_OID: u32 = 25;
const ARRAY_HEAD: u32 = 24;
/** What one row may take besides its values. */
const ROW_SLACK: u32 = 1024;

function report(slot: EmitSlot, value: u32): void {
  store<u32>(emitBase + 4 * <u32> slot, value);
}

function reportAll(size: usize, rows: u32, cursor: u32): void {
  assert(size <= outEnd - outBase);
  report(EmitSlot.Size, <u32> size);
  report(EmitSlot.Rows, rows);
  report(EmitSlot.Cursor, cursor);
}

function storeBig(at: usize, value: u32): void {
  store<u32>(at, bswap<u32>(value));
}

function outputNeed(row: Row): u32 {
  return 2 * (row.dataEnd - row.dataAt) + ROW_SLACK;
}

/** How many rows of a table came to what: counts of insert, update, delete as `u32` at the spans' base. */
export function countNet(partIndex: u32, tableId: u32): u32 {
  const part = partAt(partIndex);
  const mode = tableAt(tableId).mode;
  let inserts: u32 = 0;
  let updates: u32 = 0;
  let deletes: u32 = 0;
  for (let next = tablePartAt(part, tableId).firstRow; next != 0; next = rowAt(part, next - 1).next) {
    const net = netOf(mode, rowAt(part, next - 1));
    if (net & Net.Insert) inserts++;
    if (net & Net.Update) updates++;
    if (net & Net.Delete) deletes++;
  }
  store<u32>(spansBase, inserts);
  store<u32>(spansBase, updates, 4);
  store<u32>(spansBase, deletes, 8);
  return <u32> spansBase;
}

/** Writes COPY lines of the rows of a table whose net effect has the bit `net`. */
export function emitCopyRows(partIndex: u32, tableId: u32, net: u32, cursor: u32): void {
  const part = partAt(partIndex);
  const table = tableAt(tableId);
  let out: usize = outBase;
  let rows: u32 = 0;
  let next = cursor == 0 ? tablePartAt(part, tableId).firstRow : cursor;
  while (next != 0) {
    const head = rowAt(part, next - 1);
    if ((netOf(table.mode, head) & net) != 0) {
      const row = rowAt(part, head.latest);
      if (rows != 0 && out + outputNeed(row) > outBase + PIECE_SIZE) break;
      out = copyRow(table.shape, row, out);
      rows++;
    }
    next = head.next;
  }
  reportAll(out - outBase, rows, next);
}

function copyRow(shape: usize, row: Row, out: usize): usize {
  const end: usize = row.dataEnd;
  const canonical = (row.flags & RowFlag.Canonical) != 0;
  const columnsEnd = columnAt(shape, shapeField(shape, ShapeSlot.ColumnCount));
  const start = out;
  let at: usize = row.dataAt;
  for (let column = columnAt(shape, 0); column < columnsEnd; column += COLUMN_BYTES) {
    const value = openElement(at, end, load<u32>(column, 4 * ColumnSlot.NameSize), canonical);
    if ((load<u32>(column, 4 * ColumnSlot.Flags) & ColumnFlag.InInsert) == 0) {
      at = (value == 0 ? stoppedAt : findByte(value, end, 0x26)) + 1;
      continue;
    }
    if (value == 0) {
      store<u16>(out, 0x4e5c); // \N
      out += 2;
    } else {
      out = copyValue(value, end, out);
    }
    store<u8>(out++, 0x09);
    at = stoppedAt + 1;
  }
  if (out == start) out++; // no columns: an empty line
  store<u8>(out - 1, 0x0a);
  return out;
}

/**
 * Writes the parameters of a Bind message, one text array per column, of up to `rowsMax` rows of a table whose net
 * effect has the bit `net`; after them the Bind message's end and an Execute message.
 *
 *   int32 size ┊ int32 dimensions=1 ┊ int32 has null ┊ int32 oid ┊ int32 rows ┊ int32 lower bound=1 ┊ values
 */
export function emitArrays(partIndex: u32, tableId: u32, net: u32, columnFlag: u32, cursor: u32, rowsMax: u32): void {
  const part = partAt(partIndex);
  const table = tableAt(tableId);
  const columns = emittedColumns(table.shape, columnFlag);
  const budget = outEnd - outBase - columns * ARRAY_HEAD - ROW_SLACK;
  const rowsRoom = columns == 0 ? rowsMax : min<u32>(rowsMax, SPANS_MAX / columns);
  let spans: usize = spansBase;
  let size: u32 = 0;
  let rows: u32 = 0;
  let next = cursor == 0 ? tablePartAt(part, tableId).firstRow : cursor;
  while (next != 0 && rows < rowsRoom) {
    const head = rowAt(part, next - 1);
    if ((netOf(table.mode, head) & net) != 0) {
      const rowSize = spanRow(table.shape, rowAt(part, head.latest), columnFlag, spans);
      if (rows != 0 && size + rowSize > budget) break;
      size += rowSize;
      spans += columns * SPAN_BYTES;
      rows++;
    }
    next = head.next;
  }
  const out = rows == 0 ? <usize> outBase : finishMessages(writeArrays(columns, rows));
  reportAll(out - outBase, rows, next);
  report(EmitSlot.Columns, columns);
}

function emittedColumns(shape: usize, columnFlag: u32): u32 {
  const op = columnFlag == ColumnFlag.InInsert ? Op.Insert : columnFlag == ColumnFlag.InUpdate ? Op.Update : Op.Delete;
  return load<u32>(shape + 4 * (<usize> ShapeSlot.EmittedCounts + op));
}

/** Notes address and end of each emitted value of a row at `spans`, address 0 for NULL. @returns bytes they need at most */
function spanRow(shape: usize, row: Row, columnFlag: u32, spans: usize): u32 {
  const end: usize = row.dataEnd;
  const canonical = (row.flags & RowFlag.Canonical) != 0;
  const columnsEnd = columnAt(shape, shapeField(shape, ShapeSlot.ColumnCount));
  let size: u32 = 0;
  let at: usize = row.dataAt;
  for (let column = columnAt(shape, 0); column < columnsEnd; column += COLUMN_BYTES) {
    const value = openElement(at, end, load<u32>(column, 4 * ColumnSlot.NameSize), canonical);
    const valueEnd = value == 0 ? stoppedAt : findByte(value, end, 0x26);
    if ((load<u32>(column, 4 * ColumnSlot.Flags) & columnFlag) != 0) {
      store<u32>(spans, <u32> value);
      store<u32>(spans, <u32> valueEnd, 4);
      spans += SPAN_BYTES;
      size += 4 + (value == 0 ? 0 : <u32> (valueEnd - value));
    }
    at = valueEnd + 1;
  }
  return size;
}

/** Writes the arrays of the values noted in the spans. @returns the end of what was written */
function writeArrays(columns: u32, rows: u32): usize {
  let out: usize = outBase;
  for (let column: u32 = 0; column < columns; column++) {
    const start = out;
    let hasNull: u32 = 0;
    out += ARRAY_HEAD;
    let span: usize = spansBase + column * SPAN_BYTES;
    for (let row: u32 = 0; row < rows; row++) {
      out = writeValue(load<u32>(span), load<u32>(span, 4), out);
      if (load<u32>(span) == 0) hasNull = 1;
      span += columns * SPAN_BYTES;
    }
    storeBig(start, <u32> (out - start - 4));
    storeBig(start + 4, 1);
    storeBig(start + 8, hasNull);
    storeBig(start + 12, TEXT_OID);
    storeBig(start + 16, rows);
    storeBig(start + 20, 1);
  }
  return out;
}

/** Writes a value with its size in front, as in arrays and in Bind messages. */
function writeValue(value: usize, valueEnd: usize, out: usize): usize {
  if (value == 0) {
    store<i32>(out, -1);
    return out + 4;
  }
  const end = decodeValue(value, valueEnd, out + 4);
  storeBig(out, <u32> (end - out - 4));
  return end;
}

/** The end of a Bind message (results as text) and an Execute message of the unnamed portal. */
function finishMessages(out: usize): usize {
  store<u16>(out, 0);
  store<u8>(out, 0x45, 2); // E
  storeBig(out + 3, 9);
  store<u8>(out, 0, 7);
  store<u32>(out, 0, 8);
  return out + 12;
}

/**
 * Writes Bind and Execute messages of every event of the part, in order, or of the tables that the host has selected.
 * `cursor` is a row index + 1.
 */
export function emitOrdered(partIndex: u32, selectedOnly: bool, cursor: u32): void {
  const part = partAt(partIndex);
  let out: usize = outBase;
  let rows: u32 = 0;
  let index: u32 = cursor == 0 ? 0 : cursor - 1;
  for (; index < part.rowCount; index++) {
    const row = rowAt(part, index);
    if (selectedOnly && !isSelected(part, row)) continue;
    if (rows != 0 && out + outputNeed(row) > outBase + PIECE_SIZE) break;
    out = bindRow(tableAt(row.tableId).shape, row, out);
    rows++;
  }
  reportAll(out - outBase, rows, index < part.rowCount ? index + 1 : 0);
}

function isSelected(part: Part, row: Row): bool {
  return (tablePartAt(part, row.tableId).flags & TablePartFlag.Selected) != 0;
}

/** @returns the frame of the `nth` event that `emitOrdered` emits, from 0; 0 when there are not as many */
export function orderedFrame(partIndex: u32, selectedOnly: bool, nth: u32): u32 {
  const part = partAt(partIndex);
  if (!selectedOnly) return nth < part.rowCount ? rowAt(part, nth).frameAt : 0;
  for (let index: u32 = 0; index < part.rowCount; index++) {
    const row = rowAt(part, index);
    if (!isSelected(part, row)) continue;
    if (nth-- == 0) return row.frameAt;
  }
  return 0;
}

/** @returns the row of a table that follows `cursor`, as row index + 1; 0 stands for before the first and behind the last */
export function nextRow(partIndex: u32, tableId: u32, cursor: u32): u32 {
  const part = partAt(partIndex);
  return cursor == 0 ? tablePartAt(part, tableId).firstRow : rowAt(part, cursor - 1).next;
}

/** Bind of the shape's statement for the row's op, unnamed portal, values as text; then Execute. */
function bindRow(shape: usize, row: Row, out: usize): usize {
  const start = out;
  const op: u32 = row.op;
  const statement = shape + 4 * (<usize> ShapeSlot.Statements + 2 * op);
  const nameSize = load<u32>(statement, 4);
  store<u8>(out, 0x42); // B
  store<u8>(out, 0, 5);
  memory.copy(out + 6, load<u32>(statement), nameSize);
  out += 6 + nameSize;
  store<u8>(out, 0);
  store<u16>(out, 0, 1);
  store<u16>(out, bswap<u16>(<u16> load<u32>(shape + 4 * (<usize> ShapeSlot.EmittedCounts + op))), 3);
  out += 5;

  const end: usize = row.dataEnd;
  const canonical = (row.flags & RowFlag.Canonical) != 0;
  const columnsEnd = columnAt(shape, shapeField(shape, ShapeSlot.ColumnCount));
  let at: usize = row.dataAt;
  for (let column = columnAt(shape, 0); column < columnsEnd; column += COLUMN_BYTES) {
    const value = openElement(at, end, load<u32>(column, 4 * ColumnSlot.NameSize), canonical);
    if ((load<u32>(column, 4 * ColumnSlot.Flags) & (1 << op)) == 0) {
      at = (value == 0 ? stoppedAt : findByte(value, end, 0x26)) + 1;
      continue;
    }
    out = writeValue(value, end, out);
    at = stoppedAt + 1;
  }
  storeBig(start + 1, <u32> (out + 2 - start - 1));
  return finishMessages(out);
}
