// The module with its SIMD kernels and their scalar twins exported, for tests.

export * from "./index";
export {
  copyPlain,
  copyPlainScalar,
  findByte,
  findByteScalar,
  findMark,
  findMarkScalar,
  hashBytes,
  sameBytes,
  sameBytesScalar,
} from "./bytes";
export { copyValue, decodeValue, sameDecoded } from "./decode";
export { isVisible } from "./registry";
export { compareCells, compareKeys, compareKeysScalar, firstUnlike, firstUnlikeScalar, useKeys } from "./merge_keys";
