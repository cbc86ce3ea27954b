// Step 3 of 7: bytes to rows. Walks the CopyData frames of one part, each with one line of the eight columns
//
//   d ┊ size ┊ ev_id ⇥ ev_txid ⇥ ev_type ⇥ ev_extra1 ⇥ ev_data ⇥ ev_extra2 ⇥ ev_extra3 ⇥ ev_extra4 ⏎
//   1    4                        I:id      schema.t   id=1&v=x
//
// leaves out what the table's state says, checks every escape of the rest and puts it into the index. Nothing is
// copied: rows are addresses in the arena.

import { COLUMN_BYTES, ColumnFlag, ColumnSlot, Mode, Op, ShapeSlot, Status, TablePartFlag, Take } from "./abi";
import { findByte, findMark, hashBytes, sameBytes } from "./bytes";
import { coalesce } from "./coalesce";
import { backslashByte, decodeValue, findNameEnd, hexByte, isHexDigit, sameDecoded } from "./decode";
import {
  hashMask,
  KEY_HASHED_MAX,
  keyScratch,
  Part,
  partAt,
  rowAt,
  rowCountMax,
  RowFlag,
  rowSizeMax,
  Table,
  tableAt,
  TablePart,
  tablePartAt,
} from "./memory";
import { findTable, NO_TABLE, registryHasRoom, shapeField, takes } from "./registry";

const TAB: u8 = 0x09;
const FRAME_HEAD: u32 = 5;
/** `\N` as a little-endian u16. */
const NULL_FIELD: u16 = 0x4e5c;

// What matchShape learned about the row besides its status.
let keyHash: u64 = 0;
let keyAt: usize = 0;
let keyHasNull: bool = false;
let canonical: bool = true;

/** Indexes the events of one part until it meets one that the host has to look at, or the end of the bytes or of room. */
export function scan(partIndex: u32): Status {
  const part = partAt(partIndex);
  while (true) {
    const frame = part.scanAt;
    const left = part.fillAt - frame;
    const room = part.arenaEnd - frame;
    if (left < FRAME_HEAD) return room < FRAME_HEAD ? Status.Full : Status.NeedInput;
    if (load<u8>(frame) != 0x64) return Status.BadFrame;
    const size = bswap<u32>(load<u32>(frame, 1)) + 1;
    if (size <= FRAME_HEAD) return Status.BadFrame;
    if (size > rowSizeMax) {
      part.detail = size;
      return Status.RowTooLarge;
    }
    if (size > room || part.rowCount == rowCountMax) return Status.Full;
    if (left < size) return Status.NeedInput;
    const status = scanEvent(part, frame, frame + size);
    if (status == Status.Ignored) part.ignoredCount++;
    else if (status != Status.Ok) return status;
    pass(part, frame, size);
  }
}

/** Goes past the event that scan stands before, without indexing it. */
export function skipEvent(partIndex: u32): void {
  const part = partAt(partIndex);
  pass(part, part.scanAt, bswap<u32>(load<u32>(part.scanAt, 1)) + 1);
}

function pass(part: Part, frame: u32, size: u32): void {
  if (part.firstFrame == 0) part.firstFrame = frame;
  part.lastFrame = frame;
  part.eventCount++;
  part.scanAt = frame + size;
}

/** Forgets the rows of a part. Its bytes stay. */
export function forgetRows(partIndex: u32): void {
  const part = partAt(partIndex);
  for (let i: u32 = 0; i < part.tableCount; i++) {
    const id: u32 = load<u16>(part.tableIds + i * 2);
    memory.fill(changetype<usize>(tablePartAt(part, id)), 0, offsetof<TablePart>());
  }
  if (part.rowCount != 0) memory.fill(part.hashSlots, 0, (hashMask + 1) * 4);
  part.eventCount = 0;
  part.rowCount = 0;
  part.ignoredCount = 0;
  part.irregular = 0;
  part.firstFrame = 0;
  part.lastFrame = 0;
  part.tableCount = 0;
}

function scanEvent(part: Part, frame: usize, frameEnd: usize): Status {
  const rowEnd = frameEnd - 1;
  if (load<u8>(rowEnd) != 0x0a) return Status.BadFrame;
  const idEnd = findByte(frame + FRAME_HEAD, rowEnd, TAB);
  if (idEnd == rowEnd) return Status.BadRow;
  const txidEnd = findByte(idEnd + 1, rowEnd, TAB);
  if (txidEnd == rowEnd) return Status.BadRow;
  const typeAt = txidEnd + 1;
  const typeEnd = findByte(typeAt, rowEnd, TAB);
  if (typeEnd == rowEnd) return Status.BadRow;
  const op = opOf(typeAt, typeEnd);
  if (op < 0) return Status.Barrier;

  const nameAt = typeEnd + 1;
  const nameEnd = findByte(nameAt, rowEnd, TAB);
  if (nameEnd == rowEnd) return Status.BadRow;
  const nameSize = <u32> (nameEnd - nameAt);
  const tableId = findTable(nameAt, nameSize);
  if (tableId == NO_TABLE) {
    if (isNull(nameAt, nameSize)) return Status.Barrier;
    return registryHasRoom() ? Status.UnknownTable : Status.RegistryFull;
  }
  const table = tableAt(tableId);
  if (table.take == Take.None) return Status.Ignored;
  if (table.take == Take.UnlessVisible && !takes(table, parseNumber(idEnd + 1, txidEnd))) return Status.Ignored;

  const dataAt = nameEnd + 1;
  const dataEnd = findDataEnd(dataAt, rowEnd);
  if (dataEnd == 0) return Status.BadRow;
  if (isNull(dataAt, <u32> (dataEnd - dataAt))) return Status.NullData;
  const status = matchEvent(table.shape, typeAt + 2, typeEnd, dataAt, dataEnd);
  if (status == Status.NewShape) {
    part.detail = tableId;
    return registryHasRoom() ? Status.NewShape : Status.RegistryFull;
  }
  if (status != Status.Ok) return status;
  addRow(part, table, tableId, <u8> op, frame, dataAt, dataEnd);
  return Status.Ok;
}

/** The `Op` of an ev_type that reads `I:…`, `U:…` or `D:…`, -1 of any other. */
function opOf(at: usize, end: usize): i32 {
  if (end - at < 2 || load<u8>(at, 1) != 0x3a) return -1;
  switch (load<u8>(at)) {
    case 0x49:
      return Op.Insert;
    case 0x55:
      return Op.Update;
    case 0x44:
      return Op.Delete;
  }
  return -1;
}

function isNull(at: usize, size: u32): bool {
  return size == 2 && load<u16>(at) == NULL_FIELD;
}

function parseNumber(at: usize, end: usize): u64 {
  let value: u64 = 0;
  for (; at < end; at++) value = value * 10 + (load<u8>(at) - 0x30);
  return value;
}

/** Finds the end of ev_data, checking that exactly three more fields follow. @returns 0 when they do not */
function findDataEnd(dataAt: usize, rowEnd: usize): usize {
  // Nearly always the three are NULL and the row ends in ⇥\N⇥\N⇥\N: no need to walk the data for its end. A tab
  // inside the data would be found when it is checked.
  if (
    rowEnd - dataAt >= 9 && load<u64>(rowEnd - 8) == 0x4e5c_094e_5c09_4e5c && load<u8>(rowEnd - 9) == TAB
  ) return rowEnd - 9;
  const dataEnd = findByte(dataAt, rowEnd, TAB);
  let at = dataEnd;
  for (let i = 0; i < 3; i++) {
    if (at == rowEnd) return 0;
    at = findByte(at + 1, rowEnd, TAB);
  }
  return at == rowEnd ? dataEnd : 0;
}

/** Whether the event has the table's keys and columns; hashes its key on the way. */
function matchEvent(shape: usize, keysAt: usize, keysEnd: usize, dataAt: usize, dataEnd: usize): Status {
  if (shape == 0) return Status.NewShape;
  const keyListSize = shapeField(shape, ShapeSlot.KeyListSize);
  if (keysEnd - keysAt != keyListSize) return Status.NewShape;
  if (!sameBytes(keysAt, shapeField(shape, ShapeSlot.KeyListAt), keyListSize)) return Status.NewShape;
  return matchShape(shape, dataAt, dataEnd);
}

function matchShape(shape: usize, dataAt: usize, dataEnd: usize): Status {
  keyHash = 0;
  keyAt = 0;
  keyHasNull = false;
  canonical = true;
  let at = dataAt;
  let column = shape + 4 * <usize> ShapeSlot.Columns;
  const columnsEnd = column + shapeField(shape, ShapeSlot.ColumnCount) * COLUMN_BYTES;
  for (; column < columnsEnd; column += COLUMN_BYTES) {
    const nameSize = load<u32>(column, 4 * ColumnSlot.NameSize);
    const isKey = (load<u32>(column, 4 * ColumnSlot.Flags) & ColumnFlag.Key) != 0;
    let nameEnd = at + nameSize;
    if (nameSize == 0 || nameEnd > dataEnd || !sameBytes(at, load<u32>(column, 4 * ColumnSlot.NameAt), nameSize)) {
      nameEnd = 0;
    } else if (nameEnd < dataEnd && load<u8>(nameEnd) != 0x3d && load<u8>(nameEnd) != 0x26) {
      nameEnd = 0;
    }
    if (nameEnd == 0) {
      // An empty element, another spelling of the name, or another column.
      canonical = false;
      while (at < dataEnd && load<u8>(at) == 0x26) at++;
      if (at >= dataEnd) return Status.NewShape;
      nameEnd = findNameEnd(at, dataEnd);
      const status = checkValue(at, nameEnd);
      if (status != Status.Ok) return status;
      const nameAt: usize = load<u32>(column, 4 * ColumnSlot.NameAt);
      if (!sameDecoded(at, nameEnd, nameAt, nameAt + nameSize)) return Status.NewShape;
    }
    if (nameEnd >= dataEnd || load<u8>(nameEnd) == 0x26) {
      if (isKey) keyHasNull = true;
      at = min<usize>(nameEnd + 1, dataEnd);
      continue;
    }
    const status = checkValue(nameEnd + 1, dataEnd);
    if (status != Status.Ok) return status;
    if (isKey) {
      if (keyAt == 0) keyAt = nameEnd + 1;
      keyHash = hashKey(nameEnd + 1, checkedEnd);
    }
    at = min<usize>(checkedEnd + 1, dataEnd);
  }
  while (at < dataEnd && load<u8>(at) == 0x26) at++;
  return at == dataEnd ? Status.Ok : Status.NewShape;
}

/** Takes the decoded value into the key's hash, so that one key has one hash however it is encoded. */
function hashKey(at: usize, end: usize): u64 {
  // Three bytes at most decode to one, so that enough are decoded even if the cut falls into an escape.
  const size = decodeValue(at, min<usize>(end, at + 3 * KEY_HASHED_MAX), keyScratch) - keyScratch;
  return hashBytes(keyScratch, min<u32>(<u32> size, KEY_HASHED_MAX), keyHash);
}

let checkedEnd: usize = 0;

/** Checks the escapes of a value up to the next `&` or to `end`; `checkedEnd` is where that is. */
function checkValue(at: usize, end: usize): Status {
  while (true) {
    at = findMark(at, end);
    if (at >= end) break;
    const byte = load<u8>(at);
    if (byte == 0x26) break;
    if (byte == 0x25) {
      if (end - at < 3 || !isHexDigit(load<u8>(at, 1)) || !isHexDigit(load<u8>(at, 2))) return Status.BadEscape;
      if (hexByte(at + 1) == 0) return Status.NulByte;
      at += 3;
    } else if (byte != 0x5c) {
      if (byte == 0) return Status.NulByte;
      if (byte >= 0x08) return Status.BadRow; // a field's or line's end, or one that COPY TO would have escaped
      at++;
    } else {
      if (end - at < 2 || backslashByte(load<u8>(at, 1)) == 0) return Status.BadBackslash;
      at += 2;
    }
  }
  checkedEnd = at;
  return Status.Ok;
}

function addRow(
  part: Part,
  table: Table,
  tableId: u32,
  op: u8,
  frame: usize,
  dataAt: usize,
  dataEnd: usize,
): void {
  const index = part.rowCount++;
  const row = rowAt(part, index);
  row.dataAt = <u32> dataAt;
  row.dataEnd = <u32> dataEnd;
  row.frameAt = <u32> frame;
  row.tableId = <u16> tableId;
  row.op = op;
  row.flags = canonical ? <u8> RowFlag.Canonical : 0;
  row.keyHash = <u32> keyHash ^ (tableId * 0x9e3779b1);
  row.keyAt = <u32> keyAt;
  row.next = 0;

  const tablePart = tablePartAt(part, tableId);
  if (tablePart.rowCount++ == 0) {
    store<u16>(part.tableIds + part.tableCount++ * 2, <u16> tableId);
    tablePart.firstRow = index + 1;
  } else {
    rowAt(part, tablePart.lastRow - 1).next = index + 1;
  }
  tablePart.lastRow = index + 1;

  if (keyHasNull || table.mode == Mode.Ordered || shapeField(table.shape, ShapeSlot.KeyCount) == 0) {
    tablePart.flags |= TablePartFlag.NeedsOrdered;
  } else {
    coalesce(part, table, tablePart, index);
  }
}
