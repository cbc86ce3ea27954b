/** Random tests that can be run again: the seed is printed, and `SKYQ_SEED` sets it. */

/** Random numbers that depend on the seed alone. */
export class Random {
  readonly seed: number;
  #state: number;

  /** @param seed any 32-bit number */
  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** @returns 0 ≤ number < 2^32 (Tommy Ettinger's mulberry32) */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** @returns 0 ≤ number < 1 */
  fraction(): number {
    return this.u32() / 2 ** 32;
  }

  /** @returns a whole number, `min` and `max` included */
  int(min: number, max: number): number {
    return min + Math.floor(this.fraction() * (max - min + 1));
  }

  /** True in one of `1 / probability` cases. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(values: readonly T[]): T {
    if (values.length === 0) throw new RangeError("Cannot pick: the list is empty");
    return values[this.int(0, values.length - 1)] as T;
  }

  shuffle<T>(values: readonly T[]): T[] {
    const mixed = [...values];
    for (let i = mixed.length - 1; i > 0; i--) {
      const j = this.int(0, i);
      [mixed[i], mixed[j]] = [mixed[j] as T, mixed[i] as T];
    }
    return mixed;
  }

  bytes(size: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(size);
    for (let i = 0; i < size; i++) out[i] = this.u32() >>> 24;
    return out;
  }
}

/** The seed of this run: `SKYQ_SEED`, else a new one. Printed once with the way to have it again. */
export function seeded(what: string): Random {
  const told = Deno.env.get("SKYQ_SEED");
  const seed = told ? Number(told) : crypto.getRandomValues(new Uint32Array(1))[0] as number;
  if (!Number.isInteger(seed)) throw new Error(`Cannot seed ${what}: SKYQ_SEED is "${told}", not a whole number`);
  console.log(`${what}: seed ${seed >>> 0} (SKYQ_SEED=${seed >>> 0} runs the same again)`);
  return new Random(seed);
}
