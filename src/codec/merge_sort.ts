// External sort, host side: CopyData frames in, the same in key order out. Where runs are kept is the caller's matter.

import { RUN_BYTES, RunSlot, Sort, SORT_BYTES, SORT_OUTPUT_BYTES, SortSlot } from "../../wasm/assembly/merge_abi.ts";
import { instantiateSort, noMemory, type SortKernels } from "./kernels.ts";
import { CELL_ORDERS, type KeyOrder } from "./merge_codec.ts";

/** What came is no COPY stream, or it ended within a row. */
export class BrokenRows extends Error {}

/** An instance of the module and views of its memory. */
class Instance {
  readonly kernels: SortKernels;
  readonly #keyOrders: readonly KeyOrder[];
  #bytes = new Uint8Array(0);
  #slots = new Uint32Array(0);

  constructor({ keyOrders, module }: SortMemory) {
    this.kernels = instantiateSort(module);
    this.#keyOrders = keyOrders;
  }

  /**
   * Lays the regions out anew; what was there is lost.
   * @throws {SkyqError} `config` when memory cannot be as large as that
   */
  layOut({ arenaBytes, rowsMax = 0, runs = 0 }: { arenaBytes: number; rowsMax?: number; runs?: number }): void {
    const { kernels } = this;
    if (kernels.sortLayout(arenaBytes, rowsMax, runs, this.#keyOrders.length) === 0) throw noMemory(arenaBytes);
    const { buffer } = kernels.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#bytes.set(this.#keyOrders.map((order) => CELL_ORDERS[order]), kernels.sortKeyOrders.value >>> 0);
    this.#slots = new Uint32Array(buffer, kernels.sortState.value >>> 0, SORT_BYTES / 4);
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  slot(slot: SortSlot): number {
    return this.#slots[slot]!;
  }

  setSlot(slot: SortSlot, value: number): void {
    this.#slots[slot] = value;
  }

  /** What a call has put out, or the row that is too large for that. */
  output(status: Sort): Uint8Array {
    const at = status === Sort.LargeRow ? this.slot(SortSlot.RowAt) : this.slot(SortSlot.OutputAt);
    const size = status === Sort.LargeRow ? this.slot(SortSlot.RowSize) : this.slot(SortSlot.OutputSize);
    return this.bytes.subarray(at, at + size);
  }
}

export interface SortMemory {
  keyOrders: readonly KeyOrder[];
  /** Bytes of linear memory, about. */
  memoryBytes: number;
  /** Another build of the module: tests pass the debug one. */
  module?: BufferSource;
}

/** A run of sorted rows, read front to back. */
export interface RowRun {
  /** Bytes of its largest row, as a frame. */
  readonly largestRow: number;
  /** Fills the front of `into`. @returns bytes read, 0 at the end */
  read(into: Uint8Array): Promise<number>;
}

/**
 * Takes rows until its memory is full, and gives them back in order; merges what that came to. Grows for a row that is
 * larger than that.
 */
export class RowSorter {
  readonly #options: SortMemory;
  readonly #arenaBytes: number;
  #instance: Instance;
  #isEnlarged = false;

  constructor(options: SortMemory) {
    this.#options = options;
    this.#arenaBytes = Math.max(1024, Math.floor(options.memoryBytes * 3 / 4));
    this.#instance = this.#instantiate(this.#arenaBytes);
  }

  /** Bytes of linear memory. */
  get memoryBytes(): number {
    return this.#instance.bytes.length;
  }

  /** Rows that are taken and not given back. */
  get rowCount(): number {
    return this.#instance.slot(SortSlot.RowCount);
  }

  /** Bytes of the largest of them, as a frame. */
  get largestRow(): number {
    return this.#instance.slot(SortSlot.LargestRow);
  }

  /**
   * Takes the front of `bytes`, which are CopyData frames cut anywhere.
   * @returns how many it took; fewer than all when `sorted` has to be called before the rest
   * @throws {BrokenRows}
   */
  push(bytes: Uint8Array): number {
    let taken = 0;
    for (;;) {
      const at = this.#instance.slot(SortSlot.FillAt);
      const size = Math.min(this.#instance.slot(SortSlot.ArenaEnd) - at, bytes.length - taken);
      this.#instance.bytes.set(bytes.subarray(taken, taken + size), at);
      this.#instance.setSlot(SortSlot.FillAt, at + size);
      taken += size;
      const status = this.#instance.kernels.sortScan();
      if (status === Sort.BadFrame) throw new BrokenRows();
      if (status === Sort.Done && taken < bytes.length) continue;
      if (status === Sort.Done || this.rowCount > 0) return taken;
      // Not one row has room.
      this.#resize(this.#instance.kernels.sortWanted() + SORT_OUTPUT_BYTES);
    }
  }

  /**
   * Says that nothing more will come.
   * @returns whether all rows are taken; if not, call `sorted` and then this again
   * @throws {BrokenRows} when the stream ends within a row
   */
  end(): boolean {
    const status = this.#instance.kernels.sortScan();
    if (status === Sort.Full && this.rowCount > 0) return false;
    if (status === Sort.BadFrame || this.#restBytes() !== 0) throw new BrokenRows();
    return true;
  }

  /** Gives all rows in order, in pieces that are lent until the next one; then there is room again. */
  *sorted(): Generator<Uint8Array, void, void> {
    const { kernels } = this.#instance;
    kernels.sortRows();
    for (let status = Sort.OutputFull; status !== Sort.Done;) {
      status = kernels.sortWrite();
      const piece = this.#instance.output(status);
      if (piece.length > 0) yield piece;
    }
    kernels.sortReset();
    if (this.#isEnlarged && this.#restBytes() <= this.#arenaBytes) this.#resize(this.#arenaBytes);
  }

  /** Bytes of a row that is not whole, or had no room in the index. */
  #restBytes(): number {
    const state = this.#instance;
    return state.slot(SortSlot.FillAt) - state.slot(SortSlot.ScanAt);
  }

  #instantiate(arenaBytes: number): Instance {
    const instance = new Instance(this.#options);
    instance.layOut({ arenaBytes, rowsMax: Math.max(64, Math.floor(this.#options.memoryBytes / 32)) });
    return instance;
  }

  /** Only between rows: none is in the index. */
  #resize(arenaBytes: number): void {
    const before = this.#instance;
    const after = this.#instantiate(arenaBytes);
    const rest = before.bytes.subarray(before.slot(SortSlot.ScanAt), before.slot(SortSlot.FillAt));
    const start = after.slot(SortSlot.ArenaStart);
    after.bytes.set(rest, start);
    after.setSlot(SortSlot.FillAt, start + rest.length);
    this.#instance = after;
    this.#isEnlarged = arenaBytes > this.#arenaBytes;
  }

  /**
   * Merges runs to one, in pieces that are lent until the next one, in the sorter's own memory: it holds no rows any more.
   * @throws {BrokenRows} when a run is not what was written
   */
  async *merged(runs: readonly RowRun[]): AsyncGenerator<Uint8Array, void, void> {
    const share = Math.floor(this.#arenaBytes / Math.max(1, runs.length));
    const ringBytes = runs.map((run) => Math.max(4096, share - 64, run.largestRow + 64));
    const instance = this.#instance;
    // An apron behind each ring.
    instance.layOut({ arenaBytes: ringBytes.reduce((sum, bytes) => sum + bytes + 64, 0), runs: runs.length });
    const { kernels, bytes } = instance;
    const slots = new Uint32Array(kernels.memory.buffer, instance.slot(SortSlot.Runs), runs.length * RUN_BYTES / 4);
    const slotOf = (run: number, slot: RunSlot) => run * RUN_BYTES / 4 + slot;
    let at = instance.slot(SortSlot.ArenaStart);
    for (const [run, size] of ringBytes.entries()) {
      for (const slot of [RunSlot.RingStart, RunSlot.ReadAt, RunSlot.FillAt]) slots[slotOf(run, slot)] = at;
      slots[slotOf(run, RunSlot.RingEnd)] = at + size;
      at += size + 64;
    }
    const scratch = new Uint8Array(Math.min(256 << 10, Math.max(...ringBytes, 0)));
    for (;;) {
      const status = kernels.sortMergeRuns();
      const piece = instance.output(status);
      if (piece.length > 0) yield piece;
      if (status === Sort.Done) return;
      if (status === Sort.BadFrame) throw new BrokenRows();
      if (status !== Sort.NeedInput) continue;
      const run = instance.slot(SortSlot.Detail);
      const room = kernels.sortRunMakeRoom(run) >>> 0;
      const size = await runs[run]!.read(scratch.subarray(0, Math.min(room, scratch.length)));
      const fillAt = slots[slotOf(run, RunSlot.FillAt)]!;
      bytes.set(scratch.subarray(0, size), fillAt);
      slots[slotOf(run, RunSlot.FillAt)] = fillAt + size;
      if (size === 0) slots[slotOf(run, RunSlot.IsEnded)] = 1;
    }
  }
}
