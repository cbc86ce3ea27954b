// Steps 3 and 4 of 7, host side: bytes of events in, bytes for the subscriber out. Control is here, bytes are in
// wasm/assembly. No row becomes a JavaScript string; a call is made per buffer, never per row.

import {
  COLUMN_BYTES,
  ColumnFlag,
  COLUMNS_MAX,
  ColumnSlot,
  Mode,
  ShapeSlot,
  SNAPSHOT_HEAD_BYTES,
  Take,
} from "../../wasm/assembly/abi.ts";
import { SkyqError } from "../base/errors.ts";
import { encodeCopyField } from "./copy_text.ts";
import { EventPart, type RegisteredTable } from "./event_part.ts";
import { instantiate, type Kernels, statementBytes } from "./kernels.ts";
import { encodePart } from "./urlencode.ts";

export type {
  ArraysPiece,
  CopyPiece,
  EventPart,
  NetCounts,
  NetOp,
  OrderedPiece,
  PartStats,
  ScanResult,
} from "./event_part.ts";

const encoder = new TextEncoder();
const MIB = 1 << 20;
const ARENA_BYTES = 16 * MIB;
/** `addTable`'s answer when the registry is full. */
const NO_TABLE = 0xffffffff;

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

const TAKES = { none: Take.None, all: Take.All } as const;
const MODES = { net: Mode.Net, upsert: Mode.Upsert, ordered: Mode.Ordered } as const;

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

function registryFull(what: string): SkyqError {
  return new SkyqError("bad-event", `Cannot register ${what}: no room`, {
    hint: "Names, columns or a snapshot are far larger than any real ones; see who writes such events.",
  });
}

function columnFlags({ key, skip }: ShapeColumn): number {
  return (skip ? 0 : ColumnFlag.InInsert) | (skip && !key ? 0 : ColumnFlag.InUpdate) |
    (key ? ColumnFlag.InDelete | ColumnFlag.Key : 0);
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
