/** The debug build: asserts on, SIMD kernels and their scalar twins exported, with room at `base` for tests to write. */
import debugBytes from "../../src/codec/kernels.debug.wasm" with { type: "bytes" };

export { debugBytes };

type Find = (at: number, end: number) => number;

export interface DebugKernels {
  memory: { readonly buffer: ArrayBuffer };
  findByte(at: number, end: number, byte: number): number;
  findByteScalar(at: number, end: number, byte: number): number;
  findMark: Find;
  findMarkScalar: Find;
  copyPlain(at: number, end: number, out: number): number;
  copyPlainScalar(at: number, end: number, out: number): number;
  sameBytes(a: number, b: number, size: number): number;
  sameBytesScalar(a: number, b: number, size: number): number;
  hashBytes(at: number, size: number, hash: bigint): bigint;
  decodeValue(at: number, end: number, out: number): number;
  copyValue(at: number, end: number, out: number): number;
  sameDecoded(a: number, aEnd: number, b: number, bEnd: number): number;
  firstUnlike(a: number, b: number, size: number): number;
  firstUnlikeScalar(a: number, b: number, size: number): number;
  useKeys(orders: number, count: number): void;
  compareKeys(a: number, aEnd: number, b: number, bEnd: number): number;
  compareKeysScalar(a: number, aEnd: number, b: number, bEnd: number): number;
  isVisible(snapshot: number, txid: bigint): number;
  layout(registry: number, arena0: number, arena1: number, rowMax: number, rowsMax: number): number;
}

export interface DebugModule {
  readonly k: DebugKernels;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** 1 MiB that nothing else uses; a multiple of 16. */
  readonly base: number;
}

export async function debugModule(): Promise<DebugModule> {
  const module = await WebAssembly.compile(debugBytes);
  const abort = () => {
    throw new Error("assertion failed in the module");
  };
  const { exports } = await WebAssembly.instantiate(module, { env: { abort } });
  const k = exports as unknown as DebugKernels;
  const end = k.layout(1 << 20, 1 << 20, 1 << 20, 1 << 18, 1 << 10) >>> 0;
  return { k, bytes: new Uint8Array(k.memory.buffer), base: (end - (2 << 20)) & ~15 };
}
