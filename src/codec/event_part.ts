// Steps 3 and 4 of 7, host side: the bytes of one part of a batch, in and out.

import {
  ColumnFlag,
  EmitSlot,
  Net,
  PART_BYTES,
  PartSlot,
  Status,
  TABLE_PART_BYTES,
  TablePartFlag,
  TablePartSlot,
} from "../../wasm/assembly/abi.ts";
import { type Fault, SkyqError } from "../base/errors.ts";
import { type EventText, readEventLine } from "./event_text.ts";
import { type Kernels, statementBytes } from "./kernels.ts";

/** Bytes of a CopyData message before its line. */
const FRAME_HEAD = 5;
/** Bytes behind the parameters: the end of Bind, and Execute. */
const MESSAGES_END_BYTES = 12;

const NETS = { insert: Net.Insert, update: Net.Update, delete: Net.Delete } as const;
/** Which columns a statement of each kind is given. */
const NET_COLUMNS = {
  insert: ColumnFlag.InInsert,
  update: ColumnFlag.InUpdate,
  delete: ColumnFlag.InDelete,
} as const;

const UNREADABLE: Partial<Record<Status, { fault: Fault; text: string }>> = {
  [Status.BadFrame]: { fault: "protocol", text: "not a CopyData message with one line" },
  [Status.BadRow]: { fault: "bad-event", text: "not the eight columns of an event, as COPY TO writes them" },
  [Status.BadEscape]: { fault: "bad-event", text: 'its ev_data has a "%" without two hex digits' },
  [Status.NulByte]: { fault: "bad-event", text: 'its ev_data has a "%00" or a zero byte, which no value can hold' },
  [Status.BadBackslash]: { fault: "bad-event", text: "its ev_data has a COPY escape that COPY TO never writes" },
  [Status.NullData]: { fault: "bad-event", text: "its ev_data is NULL" },
};

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

export type NetOp = "insert" | "update" | "delete";

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

/** What the host knows of a registered table. */
export interface RegisteredTable {
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
    const [inserts, updates, deletes] = new Uint32Array(this.#memory.buffer, at, 3);
    return {
      inserts: inserts!,
      updates: updates!,
      deletes: deletes!,
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
   * pieces of at most `rowsMax`. Insert: the columns not skipped; update: those and the keys; delete: keys.
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

  /** The taken event number `index`, from 0, in queue order. */
  event(index: number): EventText {
    const frame = this.#kernels.orderedFrame(this.#index, 0, index) >>> 0;
    if (frame === 0) throw new Error(`Cannot read event ${index} of the part: there are not as many`);
    return this.#eventIn(frame);
  }

  /** Taken events of a table, in queue order, with their numbers in the part. */
  *eventsOf(tableId: number): Generator<[index: number, event: EventText], void, undefined> {
    for (let cursor = 0;;) {
      cursor = this.#kernels.nextRow(this.#index, tableId, cursor) >>> 0;
      if (cursor === 0) return;
      yield [cursor - 1, this.event(cursor - 1)];
    }
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
