// Step 3 of 7, and step 4 of 7: bytes to events to the net effect per key. The work is done in WebAssembly; here a batch
// is cut into parts that fit the arenas, and the structure of each table's events is looked up when it is first met.

import { SkyqError } from "../../base/errors.ts";
import { EventCodec, type EventPart } from "../../codec/event_codec.ts";
import type { EventText } from "../../codec/event_text.ts";
import { decodeUrl } from "../../codec/urlencode.ts";
import type { TableRow } from "../../queue/londiste.ts";
import { leftOut } from "../nodes/left_out.ts";
import type { BatchStats, Path, TakenTable } from "./path.ts";
import type { ApplyPlan } from "./plan.ts";

/** Rows of many tables, lent until the piece after the next is asked for. */
export interface RowsPiece {
  readonly kind: "rows";
  readonly part: EventPart;
  /** By the part's table ids. */
  readonly plans: ReadonlyMap<number, ApplyPlan>;
}

export type Piece =
  | RowsPiece
  /** One event that must be applied alone, after all before it and before all behind it. */
  | { readonly kind: "event"; readonly event: EventText }
  /** Nothing to apply: all rows lent so far must be done before the next piece is asked for. */
  | { readonly kind: "pause" };

/** What this consumer takes from the queue, by the event's table name; null is known to the queue, and not taken. */
export type TakenTables = ReadonlyMap<string, TakenTable | null>;

/** Picks the tables whose events this consumer applies. */
export function takenTables(path: Path, rows: readonly TableRow[]): TakenTables {
  const taken = new Map<string, TakenTable | null>();
  for (const row of rows) {
    const isTaken = row.local && path.takes(row);
    taken.set(
      row.table_name,
      isTaken ? { dest: row.dest_table ?? row.table_name, snapshot: row.custom_snapshot, leftOut: leftOut(row) } : null,
    );
  }
  return taken;
}

/**
 * Cuts a batch into pieces, in queue order. While one piece of rows is being applied the next one is filled.
 * @param stats counts are added as parts are handed out
 * @throws {SkyqError} `bad-event` for bytes that are no event, `structure` when the subscriber's table does not fit
 */
export async function* readPieces(
  path: Path,
  tables: TakenTables,
  chunks: AsyncIterable<Uint8Array>,
  stats: BatchStats,
): AsyncGenerator<Piece> {
  const reader = new PieceReader(path, tables, stats);
  for await (const chunk of chunks) yield* reader.take(chunk);
  yield* reader.end();
}

/** Tables that were warned of. */
const strangers = new Set<string>();

/** A codec for larger events than this is not kept from one batch to the next. */
const LARGE_ROW_KEPT_BYTES = 32 * 1024 * 1024;

class PieceReader {
  readonly #path: Path;
  readonly #tables: TakenTables;
  readonly #stats: BatchStats;
  /** The path's codec, or for the time of one very large event a codec of that size. */
  #codec: EventCodec;
  #part: EventPart;
  /** Handed out and perhaps still being applied. */
  #lent: EventPart | null = null;
  #plans = new Map<number, ApplyPlan>();

  constructor(path: Path, tables: TakenTables, stats: BatchStats) {
    this.#path = path;
    this.#tables = tables;
    this.#stats = stats;
    this.#codec = path.codec;
    this.#part = path.codec.parts[0];
    for (const part of path.codec.parts) part.reset();
    // Table states are those of this batch, so the registry is made anew for each.
    path.codec.resetRegistry();
  }

  async *take(chunk: Uint8Array): AsyncGenerator<Piece> {
    for (let rest = chunk; rest.length > 0;) {
      rest = rest.subarray(this.#part.push(rest));
      yield* this.#scan();
    }
  }

  async *end(): AsyncGenerator<Piece> {
    if (this.#part.restBytes > 0) throw new SkyqError("protocol", "Cannot read batch: it ended inside an event");
    yield* this.#handOut();
    yield* this.#settle();
    this.#leaveLargeCodec();
    if (this.#path.largeCodec.rowBytes > LARGE_ROW_KEPT_BYTES) this.#path.largeCodec.codec = null;
  }

  /** Scans what was pushed; comes back when the part wants more bytes. */
  async *#scan(): AsyncGenerator<Piece> {
    for (;;) {
      const result = this.#part.scan();
      switch (result.kind) {
        case "need-input":
          return;
        case "full":
          yield* this.#turn();
          break;
        case "row-too-large":
          yield* this.#handOut();
          yield* this.#settle();
          await this.#enterLargeCodec(result.bytes);
          break;
        case "registry-full":
          yield* this.#handOut();
          yield* this.#settle();
          this.#codec.resetRegistry();
          this.#plans = new Map();
          break;
        case "unknown-table":
          this.#addTable(result.event);
          break;
        case "new-shape":
          // No part may hold rows of the table in its old shape, and the subscriber can only be asked about the table
          // while nothing is being applied on the same connection.
          if (this.#part.rowCount(result.tableId) > 0) yield* this.#handOut();
          yield* this.#settle();
          await this.#addShape(result.tableId, result.event);
          break;
        case "barrier":
          yield* this.#handOut();
          yield* this.#settle();
          this.#part.skipBarrier();
          yield { kind: "event", event: result.event };
          if (result.event.type === "EXECUTE") {
            // It may have altered tables, and so what rows of theirs look like here.
            this.#codec.resetRegistry();
            this.#plans = new Map();
          }
          break;
      }
    }
  }

  /** Hands out the rows of the current part, if it has any. Its bytes not yet scanned stay where they are. */
  *#handOut(): Generator<Piece> {
    const part = this.#part;
    const { events, ignored, taken } = part.stats;
    this.#stats.count += events;
    this.#stats.ignored += ignored;
    if (taken === 0) {
      part.forgetRows();
      return;
    }
    // While this one is applied the other may not be: whoever applies takes one piece at a time.
    if (this.#lent === part) throw new Error("A part was handed out twice");
    const before = this.#lent;
    this.#lent = part;
    yield { kind: "rows", part, plans: new Map(this.#plans) };
    before?.forgetRows();
  }

  /** Waits until everything handed out is applied; both parts are free then. */
  *#settle(): Generator<Piece> {
    if (this.#lent === null) return;
    yield { kind: "pause" };
    this.#lent.forgetRows();
    this.#lent = null;
  }

  /** The part is full: hands it out and goes on in the other one. */
  *#turn(): Generator<Piece> {
    yield* this.#handOut();
    if (this.#codec !== this.#path.codec) {
      yield* this.#settle();
      this.#leaveLargeCodec();
      return;
    }
    const [first, second] = this.#codec.parts;
    const next = this.#part === first ? second : first;
    // Handing out has freed the other part; when nothing was handed out it may still be lent.
    if (this.#lent === next) yield* this.#settle();
    this.#part.moveRestTo(next);
    this.#part = next;
  }

  async #enterLargeCodec(bytes: number): Promise<void> {
    const kept = this.#path.largeCodec;
    if (kept.codec === null || kept.rowBytes < bytes) {
      // Some more than asked for: large events seldom come alone, and memory given back is not had back at once.
      kept.rowBytes = Math.ceil(bytes * 1.25);
      kept.codec = null;
      kept.codec = await EventCodec.createForRow(kept.rowBytes);
    }
    this.#codec = kept.codec;
    for (const part of this.#codec.parts) part.reset();
    this.#codec.resetRegistry();
    this.#plans = new Map();
    const [roomy] = this.#codec.parts;
    this.#part.moveRestTo(roomy);
    this.#part = roomy;
  }

  /** Back to the path's codec, with the bytes not yet scanned. */
  #leaveLargeCodec(): void {
    const { codec } = this.#path;
    if (this.#codec === codec) return;
    const large = this.#part;
    for (const part of codec.parts) part.reset();
    codec.resetRegistry();
    this.#codec = codec;
    this.#part = codec.parts[0];
    this.#plans = new Map();
    large.moveRestTo(this.#part);
  }

  #addTable(event: EventText): void {
    const name = event.extra1!;
    const taken = this.#tables.get(name);
    if (taken === undefined && this.#path.systemEvents && !strangers.has(name)) {
      strangers.add(name);
      this.#path.log.warning(`Events of table ${name} are passed over: the queue has no table of that name registered`);
    }
    const take = taken == null ? "none" : taken.snapshot === null ? "all" : { snapshot: taken.snapshot };
    this.#codec.addTable(name, { take, mode: this.#path.upsert ? "upsert" : "net" });
  }

  async #addShape(tableId: number, event: EventText): Promise<void> {
    const table = event.extra1!;
    const taken = this.#tables.get(table)!;
    const columnNames = [...decodeUrl(event.data ?? "").keys()];
    const keyList = event.type!.slice(2);
    const plan = await this.#path.plans.get(
      table,
      taken.dest,
      columnNames,
      keyNames(keyList, columnNames),
      taken.leftOut,
    );
    if (plan.mustBeOrdered) {
      const take = taken.snapshot === null ? "all" : { snapshot: taken.snapshot };
      this.#codec.setTable(tableId, { take, mode: "ordered" });
    }
    this.#codec.addShape(tableId, {
      keyList,
      columns: plan.columns,
      statements: { insert: plan.insertOne.name, update: plan.updateOne.name, delete: plan.deleteOne.name },
    });
    this.#plans.set(tableId, plan);
  }
}

/**
 * The names in an event's key list, which are joined by commas and not quoted: where a column's own name holds a comma
 * the longest names that exist are taken.
 * @example keyNames("a,b,c", ["a,b", "c", "v"]) // ["a,b", "c"]
 */
export function keyNames(keyList: string, columnNames: readonly string[]): string[] {
  if (keyList === "") return [];
  const words = keyList.split(",");
  const names: string[] = [];
  for (let at = 0; at < words.length;) {
    let end = words.length;
    while (end > at + 1 && !columnNames.includes(words.slice(at, end).join(","))) end--;
    names.push(words.slice(at, end).join(","));
    at = end;
  }
  return names;
}
