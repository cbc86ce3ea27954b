// Compare, host side: bytes of two COPY streams in, differences out. Control is here, bytes are in
// wasm/assembly/merge.ts. A row that is the same on both sides never becomes a JavaScript value.

import {
  CellOrder,
  DIFFERENCE_BYTES,
  DIFFERENCES_MAX,
  DifferenceSlot,
  KEY_COLUMNS_MAX,
  Merge,
  MergeSide,
  SIDE_BYTES,
  SideSlot,
} from "../../wasm/assembly/merge_abi.ts";
import { SkyqError } from "../base/errors.ts";
import { copyLineCells } from "./copy_text.ts";
import { instantiateMerge, type MergeKernels } from "./kernels.ts";

/**
 * How two key cells are compared, as COPY's text.
 *
 * - `integer`: digits with an optional sign
 * - `decimal`: numeric and floating point, `1.0` beside `1.00`, `-0` beside `0`, NaN last
 * - `time`: dates and timestamps in ISO form and in UTC, any year
 * - `bytes`: the unescaped bytes
 * - `padded`: the same without the spaces at the end
 *
 * NULL is last in all of them.
 */
export type KeyOrder = "integer" | "decimal" | "time" | "bytes" | "padded";

export type Side = "source" | "target";

/** The unescaped bytes of a value; null is NULL. */
export type Cell = Uint8Array | null;

/** A row's line without its newline on either side that has it. Lent until the next `push` or `step`. */
export interface DifferentLines {
  readonly source: Uint8Array | null;
  readonly target: Uint8Array | null;
}

export type MergeStep =
  /** Both sides are read to their end, and all differences are told. */
  | { readonly kind: "done" }
  /** These sides need more bytes, or their `end`. */
  | { readonly kind: "need-input"; readonly sides: readonly Side[] }
  /** There may be more without more input. */
  | { readonly kind: "full" }
  /** The row `key` of `side` is not greater than the one before. */
  | { readonly kind: "out-of-order"; readonly side: Side; readonly key: readonly Cell[] }
  /** What came is no COPY stream, or it ended within a row. */
  | { readonly kind: "bad-frame"; readonly side: Side };

export interface MergeOptions {
  /** One per key column, the first columns of a row. */
  keyOrders: readonly KeyOrder[];
  /** Bytes that each side's ring holds, 256 KiB unless told; it grows for a larger row, and shrinks behind it. */
  ringBytes?: number;
  /** Another build of the module: tests pass the debug one. */
  module?: BufferSource;
}

const RING_BYTES = 256 << 10;
const FRAME_HEAD = 5;
/** A ring made for one large row has room for so much behind it. */
const LARGE_RING_REST = 256 << 10;
const SIDES: readonly Side[] = ["source", "target"];
const SIDE_INDEX = { source: MergeSide.Source, target: MergeSide.Target } as const;
/** What the module calls the orders. */
export const CELL_ORDERS = {
  integer: CellOrder.Integer,
  decimal: CellOrder.Decimal,
  time: CellOrder.Time,
  bytes: CellOrder.Bytes,
  padded: CellOrder.Padded,
} as const;

/** An instance of the module and views of its memory, which never moves. */
class Instance {
  readonly kernels: MergeKernels;
  readonly bytes: Uint8Array;
  readonly #sides: Uint32Array;
  readonly #differences: Uint32Array;

  constructor(module: BufferSource | undefined, ringBytes: Record<Side, number>, orders: readonly KeyOrder[]) {
    this.kernels = instantiateMerge(module, [ringBytes.source, ringBytes.target, orders.length]);
    const { buffer } = this.kernels.memory;
    this.bytes = new Uint8Array(buffer);
    this.#sides = new Uint32Array(buffer, this.kernels.mergeSides.value >>> 0, 2 * SIDE_BYTES / 4);
    this.#differences = new Uint32Array(
      buffer,
      this.kernels.mergeDifferences.value >>> 0,
      DIFFERENCES_MAX * DIFFERENCE_BYTES / 4,
    );
    this.bytes.set(orders.map((order) => CELL_ORDERS[order]), this.kernels.mergeKeyOrders.value >>> 0);
  }

  slot(side: Side, slot: SideSlot): number {
    return this.#sides[SIDE_INDEX[side] * SIDE_BYTES / 4 + slot]!;
  }

  setSlot(side: Side, slot: SideSlot, value: number): void {
    this.#sides[SIDE_INDEX[side] * SIDE_BYTES / 4 + slot] = value;
  }

  differenceLine(index: number, at: DifferenceSlot, end: DifferenceSlot): Uint8Array | null {
    const base = index * DIFFERENCE_BYTES / 4;
    const start = this.#differences[base + at]!;
    return start === 0 ? null : this.bytes.subarray(start, this.#differences[base + end]!);
  }

  ringBytes(side: Side): number {
    return this.slot(side, SideSlot.RingEnd) - this.slot(side, SideSlot.RingStart);
  }
}

/**
 * Merges two streams of CopyData frames, one row each, both in the order of `keyOrders`. Push what has come, `step`, take
 * the differences, and so on until `done`:
 *
 *     push · push · end ─▶ step ─▶ differences ─▶ need-input, full ─▶ …  done
 */
export class MergeCodec {
  readonly #options: MergeOptions;
  readonly #ringBytes: number;
  #instance: Instance;
  #isEnlarged = false;
  #differenceCount = 0;
  /** Rows that both sides are done with. */
  readonly rows = { source: 0, target: 0 };

  /** @throws {SkyqError} `config` when memory cannot be as large as that */
  constructor(options: MergeOptions) {
    if (options.keyOrders.length === 0 || options.keyOrders.length > KEY_COLUMNS_MAX) {
      throw new Error(`Not a key: ${options.keyOrders.length} columns`);
    }
    this.#options = options;
    this.#ringBytes = options.ringBytes ?? RING_BYTES;
    this.#instance = this.#instantiate({ source: this.#ringBytes, target: this.#ringBytes });
  }

  /** Forgets all that came, to merge two other streams in the same memory. */
  restart(): void {
    this.#differenceCount = 0;
    this.rows.source = this.rows.target = 0;
    if (this.#isEnlarged) {
      this.#instance = this.#instantiate({ source: this.#ringBytes, target: this.#ringBytes });
      this.#isEnlarged = false;
    }
    for (const side of SIDES) {
      const start = this.#instance.slot(side, SideSlot.RingStart);
      for (const slot of [SideSlot.ReadAt, SideSlot.FillAt]) this.#instance.setSlot(side, slot, start);
      for (const slot of [SideSlot.LastKeyAt, SideSlot.LastKeyEnd, SideSlot.IsEnded]) {
        this.#instance.setSlot(side, slot, 0);
      }
    }
  }

  /** Bytes of linear memory. */
  get memoryBytes(): number {
    return this.#instance.bytes.length;
  }

  /**
   * Takes the front of `bytes`, which are CopyData frames cut anywhere. What `step` told is no longer good.
   * @returns how many it took; 0 when the side has to wait for the other one
   */
  push(side: Side, bytes: Uint8Array): number {
    this.#differenceCount = 0;
    let room = this.#instance.slot(side, SideSlot.RingEnd) - this.#instance.slot(side, SideSlot.FillAt);
    const maySettle = this.#isEnlarged && SIDES.every((each) => this.#unreadBytes(each) < this.#ringBytes);
    if (room < bytes.length || maySettle) room = this.#makeRoom(side);
    const size = Math.min(room, bytes.length);
    const at = this.#instance.slot(side, SideSlot.FillAt);
    this.#instance.bytes.set(size === bytes.length ? bytes : bytes.subarray(0, size), at);
    this.#instance.setSlot(side, SideSlot.FillAt, at + size);
    return size;
  }

  /** Says that nothing more will come: only when the server has said so. */
  end(side: Side): void {
    this.#instance.setSlot(side, SideSlot.IsEnded, 1);
  }

  /** Compares what is there. */
  step(): MergeStep {
    const { kernels } = this.#instance;
    const status = kernels.merge();
    this.#differenceCount = kernels.mergeDifferenceCount.value;
    for (const side of SIDES) this.rows[side] += this.#instance.slot(side, SideSlot.RowCount);
    const detail = kernels.mergeDetail.value;
    switch (status) {
      case Merge.Done:
        return { kind: "done" };
      case Merge.NeedInput:
        return { kind: "need-input", sides: SIDES.filter((side) => detail & (1 << SIDE_INDEX[side])) };
      case Merge.Full:
        return { kind: "full" };
      case Merge.OutOfOrder:
        return { kind: "out-of-order", side: SIDES[detail]!, key: this.#keyOf(this.#nextLine(SIDES[detail]!)) };
      case Merge.BadFrame:
        return { kind: "bad-frame", side: SIDES[detail]! };
      default:
        throw new Error(`Unexpected status ${status} of the merge`);
    }
  }

  /** What the last step found, in key order. */
  *differences(): Generator<DifferentLines, void, void> {
    const instance = this.#instance;
    for (let index = 0; index < this.#differenceCount; index++) {
      yield {
        source: instance.differenceLine(index, DifferenceSlot.SourceAt, DifferenceSlot.SourceEnd),
        target: instance.differenceLine(index, DifferenceSlot.TargetAt, DifferenceSlot.TargetEnd),
      };
    }
  }

  /** The last key that both sides are done with, null before the first. */
  position(): Cell[] | null {
    const side = SIDES[this.#instance.kernels.mergeFrontier()]!;
    const at = this.#instance.slot(side, SideSlot.LastKeyAt);
    if (at === 0) return null;
    return this.#keyOf(this.#instance.bytes.slice(at, this.#instance.slot(side, SideSlot.LastKeyEnd)));
  }

  #keyOf(line: Uint8Array): Cell[] {
    return copyLineCells(line).slice(0, this.#options.keyOrders.length);
  }

  /** A copy of the first row that is not compared yet. */
  #nextLine(side: Side): Uint8Array {
    const at = this.#instance.slot(side, SideSlot.ReadAt);
    return this.#instance.bytes.slice(at + FRAME_HEAD, at + this.#nextFrameSize(side) - 1);
  }

  /** Bytes of the first frame that is not compared yet, a frame's head when not even that is there. */
  #nextFrameSize(side: Side): number {
    const at = this.#instance.slot(side, SideSlot.ReadAt);
    if (this.#instance.slot(side, SideSlot.FillAt) - at < FRAME_HEAD) return FRAME_HEAD;
    return 1 + new DataView(this.#instance.kernels.memory.buffer).getUint32(at + 1);
  }

  #instantiate(ringBytes: Record<Side, number>): Instance {
    return new Instance(this.#options.module, ringBytes, this.#options.keyOrders);
  }

  /** Moves rows to the front of the ring, or both rings to an instance of the size that the next row needs. */
  #makeRoom(side: Side): number {
    const room = this.#instance.kernels.mergeMakeRoom(SIDE_INDEX[side]) >>> 0;
    const unread = this.#unreadBytes(side);
    const isTooSmall = room < this.#nextFrameSize(side) - unread;
    if (!isTooSmall && !this.#isEnlarged) return room;
    const wanted = { source: this.#wantedBytes("source"), target: this.#wantedBytes("target") };
    const isSmallEnough = SIDES.every((each) => wanted[each] <= this.#ringBytes);
    if (isTooSmall || isSmallEnough) this.#moveTo(wanted);
    return this.#instance.slot(side, SideSlot.RingEnd) - this.#instance.slot(side, SideSlot.FillAt);
  }

  #unreadBytes(side: Side): number {
    return this.#instance.slot(side, SideSlot.FillAt) - this.#instance.slot(side, SideSlot.ReadAt);
  }

  /** What a ring has to hold so that the side can go on: the last key, and the next row or what is there already. */
  #wantedBytes(side: Side): number {
    this.#instance.kernels.mergeMakeRoom(SIDE_INDEX[side]);
    const last = this.#instance.slot(side, SideSlot.LastKeyEnd) - this.#instance.slot(side, SideSlot.LastKeyAt);
    return last + Math.max(this.#nextFrameSize(side), this.#unreadBytes(side));
  }

  #moveTo(wanted: Record<Side, number>): void {
    const before = this.#instance;
    const ringBytes = (side: Side) =>
      wanted[side] <= this.#ringBytes ? this.#ringBytes : wanted[side] + LARGE_RING_REST;
    const sizes = { source: ringBytes("source"), target: ringBytes("target") };
    const after = this.#instantiate(sizes);
    for (const side of SIDES) {
      const start = after.slot(side, SideSlot.RingStart);
      const shift = start - before.slot(side, SideSlot.RingStart);
      // mergeMakeRoom has put all that counts at the ring's front.
      after.bytes.set(
        before.bytes.subarray(before.slot(side, SideSlot.RingStart), before.slot(side, SideSlot.FillAt)),
        start,
      );
      after.setSlot(side, SideSlot.ReadAt, before.slot(side, SideSlot.ReadAt) + shift);
      after.setSlot(side, SideSlot.FillAt, before.slot(side, SideSlot.FillAt) + shift);
      if (before.slot(side, SideSlot.LastKeyAt) !== 0) {
        after.setSlot(side, SideSlot.LastKeyAt, before.slot(side, SideSlot.LastKeyAt) + shift);
        after.setSlot(side, SideSlot.LastKeyEnd, before.slot(side, SideSlot.LastKeyEnd) + shift);
      }
      after.setSlot(side, SideSlot.IsEnded, before.slot(side, SideSlot.IsEnded));
    }
    this.#instance = after;
    this.#isEnlarged = SIDES.some((side) => sizes[side] > this.#ringBytes);
  }
}

/** The error for a stream that is none. */
export function badStream(act: string, side: Side): SkyqError {
  return new SkyqError("protocol", `${act}: what came from the ${side} is no complete COPY stream of rows`, {
    hint: "Is it a PostgreSQL server that listens there, and does nothing in between change the stream?",
  });
}
