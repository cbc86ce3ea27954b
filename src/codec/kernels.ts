/** The module's exports as the host calls them, and how an instance is made. */
import { ABI, STATEMENT_NAME_MAX, type Status } from "../../wasm/assembly/abi.ts";
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
}

let productModule: WebAssembly.Module | undefined;

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

/** A prepared statement's name as messages have it, without the zero byte behind it. */
export function statementBytes(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length > STATEMENT_NAME_MAX || bytes.includes(0)) throw new Error(`Not a statement's name: "${name}"`);
  return bytes;
}
