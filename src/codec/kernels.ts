/** The module's exports as the host calls them, and how an instance is made. */
import { ABI, STATEMENT_NAME_MAX, type Status } from "../../wasm/assembly/abi.ts";
import { type Merge, MERGE_ABI, type Sort } from "../../wasm/assembly/merge_abi.ts";
import { SkyqError } from "../base/errors.ts";
import kernelBytes from "./kernels.wasm" with { type: "bytes" };

/** What the module exports, as the host calls it; numbers are `u32`. */
export interface Kernels {
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
  nextRow(part: number, table: number, cursor: number): number;
}

/** What of the module merges two streams: its own instances, with `mergeLayout` instead of `layout`. */
export interface MergeKernels {
  memory: { readonly buffer: ArrayBuffer };
  mergeLayout(sourceRing: number, targetRing: number, keyCount: number): number;
  mergeSides: { readonly value: number };
  mergeKeyOrders: { readonly value: number };
  mergeDifferences: { readonly value: number };
  mergeDifferenceCount: { readonly value: number };
  mergeDetail: { readonly value: number };
  merge(): Merge;
  mergeMakeRoom(side: number): number;
  mergeFrontier(): number;
}

/** What of the module sorts rows: its own instances, with `sortLayout` instead of `layout`. */
export interface SortKernels {
  memory: { readonly buffer: ArrayBuffer };
  sortLayout(arena: number, rowsMax: number, runs: number, keyCount: number): number;
  sortState: { readonly value: number };
  sortKeyOrders: { readonly value: number };
  sortScan(): Sort;
  sortWanted(): number;
  sortRows(): void;
  sortWrite(): Sort;
  sortReset(): void;
  sortRunMakeRoom(run: number): number;
  sortMergeRuns(): Sort;
}

let productModule: WebAssembly.Module | undefined;

const IMPORTS = {
  env: {
    abort: () => {
      throw new Error("The module of kernels broke an invariant of its own");
    },
  },
};

/**
 * Makes an instance of the module (the product's unless told) that merges.
 * @param sizes arguments of the module's `mergeLayout`
 * @throws {SkyqError} `config` when memory cannot be as large as that
 */
export function instantiateMerge(
  bytes: BufferSource | undefined,
  sizes: Parameters<MergeKernels["mergeLayout"]>,
): MergeKernels {
  const kernels = instanceOf(bytes) as unknown as MergeKernels;
  if (kernels.mergeLayout(...sizes) === 0) throw noMemory(Math.max(...sizes));
  return kernels;
}

/** The same, for one that sorts: without any region yet. */
export function instantiateSort(bytes: BufferSource | undefined): SortKernels {
  return instanceOf(bytes) as unknown as SortKernels;
}

function instanceOf(bytes: BufferSource | undefined): WebAssembly.Exports {
  const module = bytes === undefined
    ? productModule ??= new WebAssembly.Module(kernelBytes)
    : new WebAssembly.Module(bytes);
  const { exports } = new WebAssembly.Instance(module, IMPORTS);
  if ((exports.mergeAbi as () => number)() !== MERGE_ABI) {
    throw new Error("The module of kernels is of another version: run deno task wasm");
  }
  return exports;
}

export function noMemory(bytes: number): SkyqError {
  return new SkyqError("config", `Cannot compare rows: no memory for rows of ${bytes} bytes`, {
    hint: "A WebAssembly memory ends at 4 GiB: leave the column with the large values out.",
  });
}

/**
 * Makes an instance of the module (the product's unless told) and lays out its memory.
 * @param sizes arguments of the module's `layout`
 */
export async function instantiate(
  bytes: BufferSource | undefined,
  sizes: Parameters<Kernels["layout"]>,
): Promise<Kernels> {
  const module = bytes === undefined
    ? productModule ??= await WebAssembly.compile(kernelBytes)
    : await WebAssembly.compile(bytes);
  const kernels = (await WebAssembly.instantiate(module, IMPORTS)).exports as unknown as Kernels;
  if (kernels.abi() !== ABI) throw new Error("The event codec's module is of another version: run deno task wasm");
  if (kernels.layout(...sizes) === 0) {
    throw new SkyqError("config", `Cannot make an event codec: no memory for arenas of ${sizes[1]} bytes`, {
      hint: "A WebAssembly memory ends at 4 GiB: lower the memory setting, or skip the event that is as large.",
    });
  }
  return kernels;
}

/** A prepared statement's name as messages have it, without the zero byte behind it. */
export function statementBytes(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length > STATEMENT_NAME_MAX || bytes.includes(0)) throw new Error(`Not a statement's name: "${name}"`);
  return bytes;
}
