// Steps 3 and 4 of 7, host side: bytes of events in, bytes for the subscriber out. Control is here, bytes are in
// wasm/assembly. No row becomes a JavaScript string; a call is made per buffer, never per row.

import {
  ABI,
  COLUMN_BYTES,
  ColumnFlag,
  COLUMNS_MAX,
  ColumnSlot,
  EmitSlot,
  Mode,
  Net,
  PART_BYTES,
  PartSlot,
  ShapeSlot,
  SNAPSHOT_HEAD_BYTES,
  STATEMENT_NAME_MAX,
  Status,
  TABLE_PART_BYTES,
  TablePartFlag,
  TablePartSlot,
  Take,
} from "../../wasm/assembly/abi.ts";
import { type Fault, SkyqError } from "../base/errors.ts";
import { encodeCopyField } from "./copy_text.ts";
import { type EventText, readEventLine } from "./event_text.ts";
import kernelBytes from "./kernels.wasm" with { type: "bytes" };
import { encodePart } from "./urlencode.ts";

const encoder = new TextEncoder();
const FRAME_HEAD = 5;
const MIB = 1 << 20;
const ARENA_BYTES = 16 * MIB;
/** `addTable`'s answer when the registry is full. */
const NO_TABLE = 0xffffffff;

/** What the module exports, as the host calls it; numbers are `u32`. */
interface Kernels {
  memory: { readonly buffer: ArrayBuffer };
  abi(): number;
  layout(registrySize: number, arenaSize0: number, arenaSize1: number, rowSizeMax: number, rowsMax: number): number;
  partsBase: { readonly value: number };
  emitBase: { readonly value: number };
  outBase: { readonly value: number };
  resetRegistry(): void;
  reserve(size: number): number;
  addTable(nameAt: number, nameSize: number): number;
  setTable(id: number, take: number, mode: number, snapshot: number): void;
  setShape(id: number, shape: number): void;
  rowsHeld(id: number): number;
  scan(part: number): Status;
  skipEvent(part: number): void;
  forgetRows(part: number): void;
  countNet(part: number, table: number): number;
  emitCopyRows(part: number, table: number, net: number, cursor: number): void;
  emitArrays(part: number, table: number, net: number, column: number, cursor: number, rowsMax: number): void;
  emitOrdered(part: number, selectedOnly: number, cursor: number): void;
  orderedFrame(part: number, selectedOnly: number, nth: number): number;
}

export interface CodecOptions {
  /** Bytes of events that one part holds, 16 MiB unless told. Memory in all is about 3.6 times this. */
  arenaBytes?: number;
  /** Largest single event, a quarter of the arena unless told. */
  rowBytesMax?: number;
  /** Most events that one part takes, a power of two. */
  eventsMax?: number;
  /** Another build of the module: tests pass the debug one. */
  module?: BufferSource;
}

/** What a table's events are good for. */
export interface TableState {
  /** Which events count: none, all, or all of transactions that the snapshot `xmin:xmax:x1,x2,…` does not see. */
  take: "none" | "all" | { snapshot: string };
  /** `net`: net effect per key · `upsert`: the same, rows may or may not be there · `ordered`: every event. */
  mode: "net" | "upsert" | "ordered";
}

export interface ShapeColumn {
  /** Decoded name. */
  name: string;
  key: boolean;
  /** Read but not emitted, as a generated column; a key is still emitted where rows are looked up by it. */
  skip: boolean;
}

/** The columns of a table's events, all of them, in the order in which they are in ev_data. */
export interface TableShape {
  /** What follows `I:` in ev_type. */
  keyList: string;
  /** Of a repeated name the last one counts. */
  columns: readonly ShapeColumn[];
  /** Prepared statements for `emitOrdered`. */
  statements?: { insert: string; update: string; delete: string };
}

export type ScanResult =
  /** All events pushed are indexed: push more. */
  | { kind: "need-input" }
  /** The part holds all it can; the rest has to move to the other part. */
  | { kind: "full" }
  /** The next event is no row event. */
  | { kind: "barrier"; event: EventText }
  /** The next event is of a table that is not registered. */
  | { kind: "unknown-table"; event: EventText }
  /** The next event has not the keys or columns of its table's shape, or the table has no shape yet. */
  | { kind: "new-shape"; tableId: number; event: EventText }
  /** The next event needs a codec made by {@link EventCodec.createForRow}. */
  | { kind: "row-too-large"; bytes: number }
  /** As `unknown-table` or `new-shape`, but the registry has to be reset first. */
  | { kind: "registry-full" };

export type NetOp = "insert" | "update" | "delete" | "upsert";

/** COPY lines. Both views are lent until the next emission of the codec. */
export interface CopyPiece {
  /** The lines alone. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same as one CopyData message. */
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly rows: number;
}

/** One statement over many rows. Both views are lent until the next emission of the codec. */
export interface ArraysPiece {
  /** Complete Bind and Execute messages. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The parameters alone: per column its size and a binary `text[]`. */
  readonly params: Uint8Array<ArrayBuffer>;
  readonly rows: number;
}

/** Complete Bind and Execute messages of `rows` events, lent until the next emission of the codec. */
export interface OrderedPiece {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly rows: number;
}

/** Counts of keys by what they came to; a key deleted and inserted again counts in both. */
export interface NetCounts {
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
  readonly upserts: number;
  /** The table's events of this part can only be applied in order: no key, a NULL in it, an impossible sequence. */
  readonly needsOrdered: boolean;
}

export interface PartStats {
  readonly events: number;
  readonly taken: number;
  readonly ignored: number;
  /** A key was inserted twice, or changed after its deletion. */
  readonly irregular: boolean;
  readonly firstEventId: bigint | null;
  readonly lastEventId: bigint | null;
}

const TAKES = { none: Take.None, all: Take.All } as const;
const MODES = { net: Mode.Net, upsert: Mode.Upsert, ordered: Mode.Ordered } as const;
const NETS = { insert: Net.Insert, update: Net.Update, delete: Net.Delete, upsert: Net.Upsert } as const;
/** Which columns a statement of each kind is given. */
const NET_COLUMNS = {
  insert: ColumnFlag.InInsert,
  update: ColumnFlag.InUpdate,
  delete: ColumnFlag.InDelete,
  upsert: ColumnFlag.InInsert,
} as const;

/**
 * One instance of the module with its memory of fixed size: a registry of tables and two parts, so that one is filled
 * while the other is applied. Only one emission may be under way at a time, whichever part it is of.
 */
export class EventCodec {
  readonly parts: readonly [EventPart, EventPart];
  readonly #kernels: Kernels;
  readonly #tables: RegisteredTable[] = [];
  readonly #tableIds = new Map<string, number>();

  private constructor(kernels: Kernels) {
    this.#kernels = kernels;
    kernels.resetRegistry();
    this.parts = [new EventPart(kernels, 0, this.#tables), new EventPart(kernels, 1, this.#tables)];
  }

  /**
   * Makes a codec with both parts empty and no table registered.
   * @throws {SkyqError} `config` when memory cannot be as large as that
   */
  static async create(options: CodecOptions = {}): Promise<EventCodec> {
    const arenaBytes = options.arenaBytes ?? ARENA_BYTES;
    const rowBytesMax = Math.min(options.rowBytesMax ?? arenaBytes / 4, arenaBytes) >>> 0;
    const rowsMax = options.eventsMax ?? 128 << 10;
    return new EventCodec(await instantiate(options.module, [4 * MIB, arenaBytes, arenaBytes, rowBytesMax, rowsMax]));
  }

  /**
   * Makes a codec whose first part has room for one event of `bytes` bytes, as reported by `row-too-large`, and for
   * whatever a part of a codec with arenas of `arenaBytes` may hold besides. Move the rest there, scan and apply it,
   * move what is left back, and drop this codec. Its second part is not for use.
   * @throws {SkyqError} `config` when memory cannot be as large as that
   */
  static async createForRow(
    bytes: number,
    { arenaBytes = ARENA_BYTES, module }: Pick<CodecOptions, "arenaBytes" | "module"> = {},
  ): Promise<EventCodec> {
    return new EventCodec(await instantiate(module, [4 * MIB, bytes + arenaBytes, 0, bytes, 4 << 10]));
  }

  /** Bytes of linear memory: chosen at creation, the same ever after. */
  get memoryBytes(): number {
    return this.#kernels.memory.buffer.byteLength;
  }

  /** The id of a registered table. */
  tableId(name: string): number | undefined {
    return this.#tableIds.get(name);
  }

  /**
   * Registers the table `name` (`schema.table`, as ev_extra1 reads).
   * @returns its id, good until the registry is reset
   * @throws {SkyqError} `bad-event` when the registry has no room for it
   */
  addTable(name: string, state: TableState): number {
    if (this.#tableIds.has(name)) throw new Error(`Cannot register table "${name}": it is registered`);
    const stateWords = this.#storeState(name, state);
    const nameBytes = encodeCopyField(name);
    const id = this.#kernels.addTable(this.#store(nameBytes, `table "${name}"`), nameBytes.length) >>> 0;
    if (id === NO_TABLE) throw registryFull(`table "${name}"`);
    this.#tables[id] = { name, hasStatements: false, misfit: null };
    this.#tableIds.set(name, id);
    this.#kernels.setTable(id, ...stateWords);
    return id;
  }

  /** Changes what a table's events are good for; neither part may hold rows of it. */
  setTable(id: number, state: TableState): void {
    const table = this.#table(id);
    this.#kernels.setTable(id, ...this.#storeState(table.name, state));
  }

  /**
   * Says what events of a table look like; neither part may hold rows of it.
   * @throws {SkyqError} `bad-event` when it has more columns than a table can have, or the registry has no room
   */
  addShape(id: number, shape: TableShape): void {
    const table = this.#table(id);
    if (shape.columns.length > COLUMNS_MAX) {
      throw new SkyqError("bad-event", `Cannot read events of table "${table.name}": ${shape.columns.length} columns`, {
        hint: `A table has at most 1600 columns; see who writes events for "${table.name}".`,
      });
    }
    this.#kernels.setShape(id, this.#storeShape(shape, `columns of table "${table.name}"`));
    table.hasStatements = shape.statements !== undefined;
    if (table.misfit !== null) table.misfit.isAnswered = true;
  }

  /** Forgets all tables; neither part may hold rows. Bytes not yet scanned stay. */
  resetRegistry(): void {
    for (const part of this.parts) {
      if (part.stats.taken !== 0) throw new Error("Cannot reset the registry: a part holds rows");
    }
    this.#kernels.resetRegistry();
    this.#tables.length = 0;
    this.#tableIds.clear();
  }

  #table(id: number): RegisteredTable {
    const table = this.#tables[id];
    if (table === undefined) throw new Error(`Cannot change table ${id}: it is not registered`);
    if (this.#kernels.rowsHeld(id) !== 0) throw new Error(`Cannot change table "${table.name}": a part holds its rows`);
    return table;
  }

  /** What the module is told about a state; a snapshot goes into the registry. */
  #storeState(table: string, { take, mode }: TableState): [take: number, mode: number, snapshot: number] {
    if (typeof take === "string") return [TAKES[take], MODES[mode], 0];
    const snapshot = this.#store(snapshotBytes(take.snapshot, table), `snapshot of table "${table}"`);
    return [Take.UnlessVisible, MODES[mode], snapshot];
  }

  #reserve(size: number, what: string): number {
    const at = this.#kernels.reserve(size) >>> 0;
    if (at === 0) throw registryFull(what);
    return at;
  }

  #store(bytes: Uint8Array, what: string): number {
    const at = this.#reserve(bytes.length, what);
    new Uint8Array(this.#kernels.memory.buffer).set(bytes, at);
    return at;
  }

  #storeShape(shape: TableShape, what: string): number {
    const columns = shape.columns.map((column, index) => {
      const isRepeated = shape.columns.findLastIndex((other) => other.name === column.name) !== index;
      return { name: encoder.encode(encodePart(column.name)), flags: isRepeated ? 0 : columnFlags(column) };
    });
    const names = shape.statements ?? { insert: "", update: "", delete: "" };
    const statements = [names.insert, names.update, names.delete].map(statementBytes);
    const keyList = encodeCopyField(shape.keyList);

    const at = this.#reserve(4 * ShapeSlot.Columns + columns.length * COLUMN_BYTES, what);
    const words = new Uint32Array(
      this.#kernels.memory.buffer,
      at,
      ShapeSlot.Columns + columns.length * COLUMN_BYTES / 4,
    );
    const keys = columns.flatMap((column, index) => column.flags & ColumnFlag.Key ? [index] : []);
    words[ShapeSlot.ColumnCount] = columns.length;
    words[ShapeSlot.KeyCount] = keys.length;
    words[ShapeSlot.FirstKey] = keys[0] ?? 0;
    words[ShapeSlot.LastKey] = keys.at(-1) ?? 0;
    words[ShapeSlot.KeyListAt] = this.#store(keyList, what);
    words[ShapeSlot.KeyListSize] = keyList.length;
    statements.forEach((statement, op) => {
      words[ShapeSlot.EmittedCounts + op] = columns.filter((column) => column.flags & (1 << op)).length;
      words[ShapeSlot.Statements + 2 * op] = this.#store(statement, what);
      words[ShapeSlot.Statements + 2 * op + 1] = statement.length;
    });
    columns.forEach((column, index) => {
      const slot = ShapeSlot.Columns + index * COLUMN_BYTES / 4;
      words[slot + ColumnSlot.NameAt] = this.#store(column.name, what);
      words[slot + ColumnSlot.NameSize] = column.name.length;
      words[slot + ColumnSlot.Flags] = column.flags;
    });
    return at;
  }
}

interface RegisteredTable {
  readonly name: string;
  hasStatements: boolean;
  /** The latest event reported as of a new shape, and whether a shape was given after that. */
  misfit: { readonly evId: bigint; isAnswered: boolean } | null;
}

/** One half of a codec: bytes come in by `push`, become rows by `scan`, and leave by the `emit…` methods. */
export class EventPart {
  readonly #kernels: Kernels;
  readonly #index: number;
  readonly #tables: readonly RegisteredTable[];
  readonly #memory: Uint8Array<ArrayBuffer>;
  /** The part's head, see `PartSlot`. */
  readonly #head: Uint32Array<ArrayBuffer>;
  readonly #emitted: Uint32Array<ArrayBuffer>;
  readonly #outBase: number;
  /** Whether the last ordered emission was of selected tables, for `eventAt`. */
  #selectedOnly = false;

  /** Made by {@link EventCodec} only. */
  constructor(kernels: Kernels, index: number, tables: readonly RegisteredTable[]) {
    const { buffer } = kernels.memory;
    this.#kernels = kernels;
    this.#index = index;
    this.#tables = tables;
    this.#memory = new Uint8Array(buffer);
    this.#head = new Uint32Array(buffer, (kernels.partsBase.value >>> 0) + index * PART_BYTES, PART_BYTES / 4);
    this.#emitted = new Uint32Array(buffer, kernels.emitBase.value >>> 0, 4);
    this.#outBase = kernels.outBase.value >>> 0;
    this.reset();
  }

  get stats(): PartStats {
    const head = this.#head;
    return {
      events: head[PartSlot.EventCount]!,
      taken: head[PartSlot.RowCount]!,
      ignored: head[PartSlot.IgnoredCount]!,
      irregular: head[PartSlot.Irregular] !== 0,
      firstEventId: this.#eventId(head[PartSlot.FirstFrame]!),
      lastEventId: this.#eventId(head[PartSlot.LastFrame]!),
    };
  }

  /** Bytes pushed and not yet scanned. */
  get restBytes(): number {
    return this.#head[PartSlot.FillAt]! - this.#head[PartSlot.ScanAt]!;
  }

  /** Forgets all events and bytes. */
  reset(): void {
    this.#kernels.forgetRows(this.#index);
    this.#head[PartSlot.ScanAt] = this.#head[PartSlot.FillAt] = this.#head[PartSlot.ArenaStart]!;
  }

  /** Forgets the events indexed so far and keeps the bytes not yet scanned, in place: for after a barrier. */
  forgetRows(): void {
    this.#kernels.forgetRows(this.#index);
  }

  /**
   * Copies as much of `chunk` as fits behind what is there: CopyData messages with their heads, cut anywhere.
   * @returns bytes taken; less than the chunk has when the part is full
   */
  push(chunk: Uint8Array): number {
    const fillAt = this.#head[PartSlot.FillAt]!;
    const size = Math.min(chunk.length, this.#head[PartSlot.ArenaEnd]! - fillAt);
    this.#memory.set(size === chunk.length ? chunk : chunk.subarray(0, size), fillAt);
    this.#head[PartSlot.FillAt] = fillAt + size;
    return size;
  }

  /**
   * Indexes the events pushed, up to one that the host has to see to.
   * @throws {SkyqError} `bad-event` when the next event cannot be read, `protocol` when the bytes are no CopyData
   */
  scan(): ScanResult {
    const status = this.#kernels.scan(this.#index);
    switch (status) {
      case Status.NeedInput:
        return { kind: "need-input" };
      case Status.Full:
        return { kind: "full" };
      case Status.RowTooLarge:
        return { kind: "row-too-large", bytes: this.#head[PartSlot.Detail]! };
      case Status.RegistryFull:
        return { kind: "registry-full" };
      case Status.Barrier:
        return { kind: "barrier", event: this.#nextEvent() };
      case Status.UnknownTable:
        return this.#unknownTable(this.#nextEvent());
      case Status.NewShape:
        return this.#newShape(this.#head[PartSlot.Detail]!, this.#nextEvent());
    }
    throw this.#unreadable(status);
  }

  /** Goes past the barrier (or any other event) that `scan` stopped before. */
  skipBarrier(): void {
    if (this.restBytes <= FRAME_HEAD) throw new Error("Cannot skip an event: none is there");
    this.#kernels.skipEvent(this.#index);
  }

  /** Moves the bytes not yet scanned to the start of an empty part, which may be another codec's. */
  moveRestTo(other: EventPart): void {
    const rest = this.#memory.subarray(this.#head[PartSlot.ScanAt], this.#head[PartSlot.FillAt]);
    if (other.stats.events !== 0 || other.restBytes !== 0) throw new Error("Cannot move bytes: the target is in use");
    other.reset();
    if (other.push(rest) !== rest.length) throw new Error("Cannot move bytes: the target is too small");
    this.#head[PartSlot.FillAt] = this.#head[PartSlot.ScanAt]!;
  }

  /** Tables with taken rows in this part, in order of appearance. */
  tables(): number[] {
    const ids = this.#head[PartSlot.TableIds]!;
    return [...new Uint16Array(this.#memory.buffer, ids, this.#head[PartSlot.TableCount])];
  }

  /** Taken events of a table. */
  rowCount(tableId: number): number {
    return this.#tablePart(tableId)[TablePartSlot.RowCount]!;
  }

  /** What the events of a table come to. Of an ordered table all counts are 0. */
  net(tableId: number): NetCounts {
    const at = this.#kernels.countNet(this.#index, tableId) >>> 0;
    const [inserts, updates, deletes, upserts] = new Uint32Array(this.#memory.buffer, at, 4);
    return {
      inserts: inserts!,
      updates: updates!,
      deletes: deletes!,
      upserts: upserts!,
      needsOrdered: this.#needsOrdered(tableId),
    };
  }

  /** COPY lines of the rows that came to `op`: the columns not skipped, in the shape's order. */
  *emitCopyRows(tableId: number, op: NetOp): Generator<CopyPiece, void, undefined> {
    this.#assertNet(tableId);
    let cursor = 0;
    do {
      this.#kernels.emitCopyRows(this.#index, tableId, NETS[op], cursor);
      cursor = this.#emitted[EmitSlot.Cursor]!;
      const size = this.#emitted[EmitSlot.Size]!;
      if (size === 0) continue;
      const head = new DataView(this.#memory.buffer, this.#outBase - FRAME_HEAD);
      head.setUint8(0, 0x64); // d
      head.setUint32(1, 4 + size);
      yield {
        bytes: this.#output(0, size),
        frame: this.#output(FRAME_HEAD, size),
        rows: this.#emitted[EmitSlot.Rows]!,
      };
    } while (cursor !== 0);
  }

  /**
   * Bind and Execute messages of prepared `statement` with one `text[]` per column, for the rows that came to `op`, in
   * pieces of at most `rowsMax`. Insert and upsert: the columns not skipped; update: those and the keys; delete: keys.
   */
  *emitArrays(
    tableId: number,
    op: NetOp,
    { statement, rowsMax = 5000 }: { statement: string; rowsMax?: number },
  ): Generator<ArraysPiece, void, undefined> {
    this.#assertNet(tableId);
    const name = statementBytes(statement);
    let cursor = 0;
    do {
      this.#kernels.emitArrays(this.#index, tableId, NETS[op], NET_COLUMNS[op], cursor, rowsMax);
      cursor = this.#emitted[EmitSlot.Cursor]!;
      const rows = this.#emitted[EmitSlot.Rows]!;
      if (rows === 0) continue;
      const size = this.#emitted[EmitSlot.Size]!;
      const headSize = this.#writeBindHead(name, this.#emitted[EmitSlot.Columns]!, size - MESSAGES_END_BYTES);
      yield { bytes: this.#output(headSize, size), params: this.#output(0, size - MESSAGES_END_BYTES), rows };
    } while (cursor !== 0);
  }

  /**
   * Bind and Execute messages of every event, in order, by the statements of the tables' shapes, values as text. Insert
   * and update: the columns not skipped (update: and the keys), delete: the keys; in the shape's order.
   * @param tables only events of these, all unless told
   */
  *emitOrdered(tables?: readonly number[]): Generator<OrderedPiece, void, undefined> {
    for (const id of tables ?? this.tables()) {
      if (this.#tables[id]?.hasStatements !== true) {
        throw new Error(`Cannot emit events of table "${this.#tables[id]?.name}": its shape names no statements`);
      }
    }
    this.#select(tables);
    let cursor = 0;
    do {
      this.#kernels.emitOrdered(this.#index, Number(this.#selectedOnly), cursor);
      cursor = this.#emitted[EmitSlot.Cursor]!;
      const rows = this.#emitted[EmitSlot.Rows]!;
      if (rows !== 0) yield { bytes: this.#output(0, this.#emitted[EmitSlot.Size]!), rows };
    } while (cursor !== 0);
  }

  /** The `nth` event, from 0, of the latest `emitOrdered`; of all events of the part before the first one. */
  eventAt(nth: number): EventText {
    const frame = this.#kernels.orderedFrame(this.#index, Number(this.#selectedOnly), nth) >>> 0;
    if (frame === 0) throw new Error(`Cannot read event ${nth} of the part: there are not as many`);
    return this.#eventIn(frame);
  }

  #select(tables: readonly number[] | undefined): void {
    this.#selectedOnly = tables !== undefined;
    for (const id of this.tables()) {
      const flags = this.#tablePart(id)[TablePartSlot.Flags]! & ~TablePartFlag.Selected;
      this.#tablePart(id)[TablePartSlot.Flags] = flags | (tables?.includes(id) ? TablePartFlag.Selected : 0);
    }
  }

  #tablePart(tableId: number): Uint32Array<ArrayBuffer> {
    if (this.#tables[tableId] === undefined) throw new Error(`Cannot look at table ${tableId}: it is not registered`);
    const at = this.#head[PartSlot.TableParts]! + tableId * TABLE_PART_BYTES;
    return new Uint32Array(this.#memory.buffer, at, TABLE_PART_BYTES / 4);
  }

  #needsOrdered(tableId: number): boolean {
    return (this.#tablePart(tableId)[TablePartSlot.Flags]! & TablePartFlag.NeedsOrdered) !== 0;
  }

  #assertNet(tableId: number): void {
    if (!this.#needsOrdered(tableId)) return;
    throw new Error(
      `Cannot emit the net effect on table "${this.#tables[tableId]!.name}": it needs its events in order`,
    );
  }

  #output(headSize: number, size: number): Uint8Array<ArrayBuffer> {
    return this.#memory.subarray(this.#outBase - headSize, this.#outBase + size);
  }

  /** Writes what comes before the parameters of a Bind message, in front of the output. @returns its bytes */
  #writeBindHead(statement: Uint8Array, columnCount: number, paramsSize: number): number {
    const headSize = 5 + 1 + statement.length + 1 + 2 + 2 + 2;
    const head = new DataView(this.#memory.buffer, this.#outBase - headSize, headSize);
    head.setUint8(0, 0x42); // B
    head.setUint32(1, headSize - 1 + paramsSize + 2);
    head.setUint8(5, 0); // unnamed portal
    this.#memory.set(statement, this.#outBase - headSize + 6);
    head.setUint8(6 + statement.length, 0);
    head.setUint16(7 + statement.length, 1); // one format for all parameters:
    head.setUint16(9 + statement.length, 1); // binary
    head.setUint16(11 + statement.length, columnCount);
    return headSize;
  }

  /** Reports an event as of an unknown table, unless the name is known and only written in another way. */
  #unknownTable(event: EventText): ScanResult {
    if (!this.#tables.some(({ name }) => name === event.extra1)) return { kind: "unknown-table", event };
    throw this.#eventError("bad-event", event, "its ev_extra1 has a COPY escape that COPY TO never writes");
  }

  /** Reports an event as of a new shape, unless the shape just given for it does not fit: that would go on for ever. */
  #newShape(tableId: number, event: EventText): ScanResult {
    const table = this.#tables[tableId]!;
    if (table.misfit?.evId === event.evId && table.misfit.isAnswered) {
      throw this.#eventError("bad-event", event, "its keys and columns are not those read from it");
    }
    table.misfit = { evId: event.evId, isAnswered: false };
    return { kind: "new-shape", tableId, event };
  }

  #nextEvent(): EventText {
    return this.#eventIn(this.#head[PartSlot.ScanAt]!);
  }

  #eventIn(frame: number): EventText {
    const size = new DataView(this.#memory.buffer, frame + 1).getUint32(0);
    return readEventLine(this.#memory.subarray(frame + FRAME_HEAD, frame + size));
  }

  /** The id of the event in `frame`, null for no frame. */
  #eventId(frame: number): bigint | null {
    if (frame === 0) return null;
    const at = frame + FRAME_HEAD;
    const digits = String.fromCharCode(...this.#memory.subarray(at, at + 20)).split("\t", 1)[0]!;
    if (!/^\d+$/.test(digits)) throw new SkyqError("bad-event", `Cannot read an event: its ev_id is "${digits}"`);
    return BigInt(digits);
  }

  #unreadable(status: Status): SkyqError {
    const state = UNREADABLE[status];
    if (state === undefined) throw new Error(`Cannot scan events: unknown status ${status}`);
    if (status === Status.BadFrame) return new SkyqError(state.fault, `Cannot read events: ${state.text}`);
    // Reading the event says itself what is wrong with the eight columns, if anything is.
    return this.#eventError(state.fault, this.#nextEvent(), state.text);
  }

  #eventError(fault: Fault, { evId, txid, type, extra1 }: EventText, state: string): SkyqError {
    return new SkyqError(fault, `Cannot read event ${evId} of table "${extra1}": ${state}`, {
      hint: "See who wrote it; the queue's table has the row with this ev_id.",
      facts: { evId, txid, type, table: extra1 },
    });
  }
}

/** Bytes behind the parameters: the end of Bind, and Execute. */
const MESSAGES_END_BYTES = 12;

const UNREADABLE: Partial<Record<Status, { fault: Fault; text: string }>> = {
  [Status.BadFrame]: { fault: "protocol", text: "not a CopyData message with one line" },
  [Status.BadRow]: { fault: "bad-event", text: "not the eight columns of an event, as COPY TO writes them" },
  [Status.BadEscape]: { fault: "bad-event", text: 'its ev_data has a "%" without two hex digits' },
  [Status.NulByte]: { fault: "bad-event", text: 'its ev_data has a "%00" or a zero byte, which no value can hold' },
  [Status.BadBackslash]: { fault: "bad-event", text: "its ev_data has a COPY escape that COPY TO never writes" },
  [Status.NullData]: { fault: "bad-event", text: "its ev_data is NULL" },
};

let productModule: WebAssembly.Module | undefined;

/**
 * Makes an instance of the module (the product's unless told) and lays out its memory.
 * @param sizes arguments of the module's `layout`
 */
async function instantiate(bytes: BufferSource | undefined, sizes: Parameters<Kernels["layout"]>): Promise<Kernels> {
  const module = bytes === undefined
    ? productModule ??= await WebAssembly.compile(kernelBytes)
    : await WebAssembly.compile(bytes);
  const imports = {
    env: {
      abort: () => {
        throw new Error("The event codec's module broke an invariant of its own");
      },
    },
  };
  const kernels = (await WebAssembly.instantiate(module, imports)).exports as unknown as Kernels;
  if (kernels.abi() !== ABI) throw new Error("The event codec's module is of another version: run deno task wasm");
  if (kernels.layout(...sizes) === 0) {
    throw new SkyqError("config", `Cannot make an event codec: no memory for arenas of ${sizes[1]} bytes`, {
      hint: "A WebAssembly memory ends at 4 GiB: lower the memory setting, or skip the event that is as large.",
    });
  }
  return kernels;
}

function registryFull(what: string): SkyqError {
  return new SkyqError("bad-event", `Cannot register ${what}: no room`, {
    hint: "Names, columns or a snapshot are far larger than any real ones; see who writes such events.",
  });
}

function columnFlags({ key, skip }: ShapeColumn): number {
  return (skip ? 0 : ColumnFlag.InInsert) | (skip && !key ? 0 : ColumnFlag.InUpdate) |
    (key ? ColumnFlag.InDelete | ColumnFlag.Key : 0);
}

function statementBytes(name: string): Uint8Array {
  const bytes = encoder.encode(name);
  if (bytes.length > STATEMENT_NAME_MAX || bytes.includes(0)) throw new Error(`Not a statement's name: "${name}"`);
  return bytes;
}

/** Snapshot text `xmin:xmax:x1,x2,…` as the module reads it. */
function snapshotBytes(text: string, table: string): Uint8Array {
  const match = /^(\d+):(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
  if (match === null) {
    throw new SkyqError(
      "structure",
      `Cannot read the snapshot of table "${table}": not "xmin:xmax:list" but "${text}"`,
      {
        hint: "Copy the table again, which stores a new one.",
      },
    );
  }
  const running = match[3] === "" ? [] : match[3]!.split(",").map(BigInt).sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
  const bytes = new Uint8Array(SNAPSHOT_HEAD_BYTES + 8 * running.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(match[1]!), true);
  view.setBigUint64(8, BigInt(match[2]!), true);
  view.setUint32(16, running.length, true);
  running.forEach((txid, index) => view.setBigUint64(SNAPSHOT_HEAD_BYTES + 8 * index, txid, true));
  return bytes;
}
