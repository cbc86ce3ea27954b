// What the host calls: one call per buffer. `abi.ts` has the numbers that go in and out.

export { emitBase, layout, outBase, partsBase } from "./memory";
export { addTable, reserve, resetRegistry, rowsHeld, setShape, setTable } from "./registry";
export { forgetRows, scan, skipEvent } from "./scan";
export {
  merge,
  mergeAbi,
  mergeDetail,
  mergeDifferenceCount,
  mergeDifferences,
  mergeFrontier,
  mergeKeyOrders,
  mergeLayout,
  mergeMakeRoom,
  mergeSides,
} from "./merge";
export {
  sortKeyOrders,
  sortLayout,
  sortMergeRuns,
  sortReset,
  sortRows,
  sortRunMakeRoom,
  sortScan,
  sortState,
  sortWanted,
  sortWrite,
} from "./merge_sort";
export { countNet, emitArrays, emitCopyRows, emitOrdered, nextRow, orderedFrame } from "./emit";

import { ABI } from "./abi";

/** The version of the layout and calls that this module was built with. */
export function abi(): u32 {
  return ABI;
}
