/**
 * What the module and its host agree on: numbers only, so that both compilers read this one file. Addresses are not
 * here: `memory.ts` lays the regions out and the host asks for them once.
 */

/** Raise when anything below, or the signature of an export, changes. */
export const ABI = 2;

/** What a call came to. Up to `Full` the part goes on or is complete; from `BadFrame` on the event cannot be used. */
export const enum Status {
  Ok = 0,
  /** The next frame is incomplete: push more bytes. */
  NeedInput = 1,
  /** No room for another event in this part. */
  Full = 2,
  /** Not a row event; scan stands before it. */
  Barrier = 3,
  /** A row event of a table that is not registered; scan stands before it. */
  UnknownTable = 4,
  /** A row event whose keys or columns are not those registered (`Detail`: table id); scan stands before it. */
  NewShape = 5,
  /** The next frame is larger than any row may be (`Detail`: its size in bytes); scan stands before it. */
  RowTooLarge = 6,
  /** As `UnknownTable` or `NewShape`, but the registry may have no room for it. */
  RegistryFull = 7,
  /** The event was counted and left out. Never leaves the module. */
  Ignored = 8,
  /** Not a CopyData message with one line in it. */
  BadFrame = 9,
  /** Not the eight columns. */
  BadRow = 10,
  /** `%` without two hex digits. */
  BadEscape = 11,
  /** `%00`: no text value holds it. */
  NulByte = 12,
  /** A backslash sequence that COPY TO never writes. */
  BadBackslash = 13,
  /** ev_data is NULL in a row event. */
  NullData = 14,
}

export const enum Op {
  Insert = 0,
  Update = 1,
  Delete = 2,
}

/** What a key came to in a part; a key deleted and inserted again is `Delete | Insert`. */
export const enum Net {
  Insert = 1,
  Update = 2,
  Delete = 4,
}

/** Which events of a table are taken. */
export const enum Take {
  None = 0,
  All = 1,
  /** All whose transaction is not visible in the table's snapshot. */
  UnlessVisible = 2,
}

export const enum Mode {
  /** Net effect per key; the rows are as the events say. */
  Net = 0,
  /** Net effect per key; rows may be there or not. */
  Upsert = 1,
  /** Every event, in order. */
  Ordered = 2,
}

/** `u32` fields of a part's head, by index. */
export const enum PartSlot {
  ArenaStart = 0,
  ArenaEnd = 1,
  /** First byte not yet scanned. */
  ScanAt = 2,
  /** First free byte. */
  FillAt = 3,
  EventCount = 4,
  /** Events taken = rows in the index. */
  RowCount = 5,
  IgnoredCount = 6,
  /** 1 when some table has a sequence of events that no real table can have. */
  Irregular = 7,
  /** Frames of the first and last event counted, 0 when none. */
  FirstFrame = 8,
  LastFrame = 9,
  /** Tables with taken rows; their ids are at `TableIds`, `u16` each, in order of appearance. */
  TableCount = 10,
  Detail = 11,
  Rows = 12,
  HashSlots = 13,
  TableIds = 14,
  TableParts = 15,
}
export const PART_BYTES = 64;

/** `u32` fields of what one part knows of one table, by index. */
export const enum TablePartSlot {
  /** First and last row of the table's chain: row index + 1, 0 when none. */
  FirstRow = 0,
  LastRow = 1,
  RowCount = 2,
  Flags = 3,
}
export const TABLE_PART_BYTES = 16;
export const enum TablePartFlag {
  /** The net effect may not be used. */
  NeedsOrdered = 1,
  /** Chosen by the host for the next ordered emission. */
  Selected = 2,
}

/** `u32` fields of a shape, by index; columns follow. Written by the host, read by the module. */
export const enum ShapeSlot {
  ColumnCount = 0,
  KeyCount = 1,
  /** Index of the first and last key column. */
  FirstKey = 2,
  LastKey = 3,
  /** What follows `I:` in ev_type, as it stands in the field. */
  KeyListAt = 4,
  KeyListSize = 5,
  /** Columns emitted per `Op`. */
  EmittedCounts = 6,
  /** Address and size of the statement name per `Op`. */
  Statements = 9,
  Columns = 16,
}
/** `u32` fields of a column, by index. */
export const enum ColumnSlot {
  /** The name as encoders write it in ev_data. */
  NameAt = 0,
  NameSize = 1,
  Flags = 2,
}
export const COLUMN_BYTES = 12;
export const enum ColumnFlag {
  /** Emitted by insert, update, delete: `1 << Op`. */
  InInsert = 1,
  InUpdate = 2,
  InDelete = 4,
  Key = 8,
}

/** `u64` xmin, `u64` xmax, `u32` count, 4 unused bytes, then `count` ascending `u64` ids of running transactions. */
export const SNAPSHOT_HEAD_BYTES = 24;

/** `u32` fields of what an emission reports, by index. */
export const enum EmitSlot {
  /** Bytes written at the output's base. */
  Size = 0,
  Rows = 1,
  /** Hand this in next time; 0 when all is emitted. */
  Cursor = 2,
  /** Columns per row. */
  Columns = 3,
}

/** Tables a registry can hold. */
export const TABLES_MAX = 4096;
/** More columns than any table has (1600). */
export const COLUMNS_MAX = 2048;
/** Bytes that the host may write in front of the output: a message's head with a statement name. */
export const HEADROOM = 512;
/** Longest statement name in bytes. */
export const STATEMENT_NAME_MAX = 255;
