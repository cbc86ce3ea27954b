// The loops that look at every byte, 16 at a time, each with the scalar twin that defines its meaning. They may read
// (and `copyPlain` may write) 15 bytes past the end of what they were given; aprons keep those mapped.

/** Bytes below this are marks of `findMark`: among them all that COPY TO escapes but the backslash. */
const CONTROL_END: u8 = 0x0e;
const PERCENT: u8 = 0x25;
const AMPERSAND: u8 = 0x26;
const PLUS: u8 = 0x2b;
const BACKSLASH: u8 = 0x5c;

/** @returns the address of the first `byte` in [at, end), or `end` */
export function findByte(at: usize, end: usize, byte: u8): usize {
  const wanted = i8x16.splat(byte);
  while (at < end) {
    const lanes = i8x16.bitmask(i8x16.eq(v128.load(at), wanted));
    if (lanes != 0) return min<usize>(at + ctz(lanes), end);
    at += 16;
  }
  return end;
}

export function findByteScalar(at: usize, end: usize, byte: u8): usize {
  while (at < end && load<u8>(at) != byte) at++;
  return at;
}

/** @returns the address of the first of `& % \` and bytes below 0x0e in [at, end), or `end` */
export function findMark(at: usize, end: usize): usize {
  while (at < end) {
    const block = v128.load(at);
    const hit = v128.or(
      v128.or(i8x16.eq(block, i8x16.splat(AMPERSAND)), i8x16.eq(block, i8x16.splat(PERCENT))),
      v128.or(i8x16.eq(block, i8x16.splat(BACKSLASH)), i8x16.lt_u(block, i8x16.splat(CONTROL_END))),
    );
    const lanes = i8x16.bitmask(hit);
    if (lanes != 0) return min<usize>(at + ctz(lanes), end);
    at += 16;
  }
  return end;
}

export function findMarkScalar(at: usize, end: usize): usize {
  while (at < end) {
    const byte = load<u8>(at);
    if (byte == AMPERSAND || byte == PERCENT || byte == BACKSLASH || byte < CONTROL_END) break;
    at++;
  }
  return at;
}

/**
 * Copies from `at` to `out` up to the first of `& % + \`, or to `end`; what lies behind it at `out` is undefined.
 * @returns the address in the source where it stopped
 */
export function copyPlain(at: usize, end: usize, out: usize): usize {
  while (at < end) {
    const block = v128.load(at);
    v128.store(out, block);
    const hit = v128.or(
      v128.or(i8x16.eq(block, i8x16.splat(AMPERSAND)), i8x16.eq(block, i8x16.splat(PERCENT))),
      v128.or(i8x16.eq(block, i8x16.splat(BACKSLASH)), i8x16.eq(block, i8x16.splat(PLUS))),
    );
    const lanes = i8x16.bitmask(hit);
    if (lanes != 0) return min<usize>(at + ctz(lanes), end);
    at += 16;
    out += 16;
  }
  return end;
}

export function copyPlainScalar(at: usize, end: usize, out: usize): usize {
  while (at < end) {
    const byte = load<u8>(at);
    if (byte == AMPERSAND || byte == PERCENT || byte == BACKSLASH || byte == PLUS) break;
    store<u8>(out++, byte);
    at++;
  }
  return at;
}

/** Whether the `size` bytes at `a` and `b` are the same. */
export function sameBytes(a: usize, b: usize, size: u32): bool {
  while (size >= 16) {
    if (i8x16.bitmask(i8x16.eq(v128.load(a), v128.load(b))) != 0xffff) return false;
    a += 16;
    b += 16;
    size -= 16;
  }
  if (size == 0) return true;
  const unlike = ~i8x16.bitmask(i8x16.eq(v128.load(a), v128.load(b)));
  return (unlike & ((1 << size) - 1)) == 0;
}

export function sameBytesScalar(a: usize, b: usize, size: u32): bool {
  for (let i: u32 = 0; i < size; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}

/** A 64-bit hash of the `size` bytes at `at`, carrying on from `hash`. */
export function hashBytes(at: usize, size: u32, hash: u64): u64 {
  hash ^= size;
  while (size >= 8) {
    hash = mix(hash ^ load<u64>(at));
    at += 8;
    size -= 8;
  }
  if (size != 0) hash = mix(hash ^ (load<u64>(at) & ((<u64> 1 << (size << 3)) - 1)));
  return hash;
}

/** Every bit of the result depends on every bit of `hash`: the last digits of a number are in its highest bytes. */
function mix(hash: u64): u64 {
  hash *= 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9;
  return hash ^ (hash >> 32);
}
