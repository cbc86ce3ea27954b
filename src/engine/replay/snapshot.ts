/** A transaction snapshot, as `txid_snapshot` prints it: `xmin:xmax:x1,x2,…`. */
export interface Snapshot {
  /** All ids below are finished. */
  readonly xmin: bigint;
  /** No id from here on was begun. */
  readonly xmax: bigint;
  /** Ids between them that were running. */
  readonly running: ReadonlySet<bigint>;
}

/** @throws {RangeError} when the text is no snapshot. @example parseSnapshot("10:20:10,14").running.has(14n) === true */
export function parseSnapshot(text: string): Snapshot {
  const match = /^(\d+):(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
  if (match === null) throw new RangeError(`Not a transaction snapshot: "${text}"`);
  const running = match[3] === "" ? [] : match[3]!.split(",").map(BigInt);
  return { xmin: BigInt(match[1]!), xmax: BigInt(match[2]!), running: new Set(running) };
}

/** Whether the snapshot sees the transaction's work. */
export function isVisible(snapshot: Snapshot, txid: bigint): boolean {
  return txid < snapshot.xmin || (txid < snapshot.xmax && !snapshot.running.has(txid));
}

/**
 * Whether `later` sees everything that `earlier` sees: events that `later` does not see (those of the batch that begins
 * there) are then none that `earlier` saw.
 */
export function seesAllOf(later: Snapshot, earlier: Snapshot): boolean {
  if (earlier.xmax > later.xmax) return false;
  for (const txid of later.running) {
    if (isVisible(earlier, txid)) return false;
  }
  return true;
}
