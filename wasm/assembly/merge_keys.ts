// Which of two rows comes first. The rule is the server's for the same columns, over COPY's text; the host's `KeyOrder`
// says which rule, and tests hold the two against each other for every type.
//
//   key cell ⇥ key cell ⇥ other cells … ⏎        \N is NULL: it comes last

import { findByte, findByteScalar } from "./bytes";
import { backslashByte } from "./decode";
import { CellOrder } from "./merge_abi";

const TAB: u8 = 0x09;
const BACKSLASH: u8 = 0x5c;
const MINUS: u8 = 0x2d;
const POINT: u8 = 0x2e;
const ZERO: u8 = 0x30;
const SPACE: u8 = 0x20;
/** `\N` and ` B`, as little-endian u16. */
const NULL_CELL: u16 = 0x4e5c;
const SPACE_B: u16 = 0x4220;

/** One byte per key column: a `CellOrder`. */
export let keyOrders: usize = 0;
export let keyCount: u32 = 0;

export function useKeys(orders: usize, count: u32): void {
  keyOrders = orders;
  keyCount = count;
}

/**
 * Compares the keys of two rows; a row ends before its newline, or behind its key.
 *
 * Cells whose bytes are the same need no look: the first byte that is not the same says which cell decides.
 *
 * @returns below 0, 0 or above 0
 */
export function compareKeys(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  const shared = min<u32>(<u32> (aEnd - a), <u32> (bEnd - b));
  let cell: u32 = 0;
  let cellAt: u32 = 0;
  let at: u32 = 0;
  while (at < shared) {
    const block = v128.load(a + at);
    const unlike = ~i8x16.bitmask(i8x16.eq(block, v128.load(b + at))) & 0xffff;
    const left = shared - at;
    const size = min<u32>(unlike == 0 ? 16 : ctz(unlike), left);
    const tabs: u32 = i8x16.bitmask(i8x16.eq(block, i8x16.splat(TAB))) & ((1 << size) - 1);
    if (tabs != 0) {
      cell += popcnt(tabs);
      if (cell >= keyCount) return 0;
      cellAt = at + 32 - clz(tabs);
    }
    at += size;
    if (size < 16) break;
  }
  a += cellAt;
  b += cellAt;
  while (true) {
    const aStop = findByte(a, aEnd, TAB);
    const bStop = findByte(b, bEnd, TAB);
    const order = compareCells(load<u8>(keyOrders + cell), a, aStop, b, bStop);
    if (order != 0 || ++cell == keyCount) return order;
    a = min(aStop + 1, aEnd);
    b = min(bStop + 1, bEnd);
  }
}

/** The same, cell by cell. */
export function compareKeysScalar(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  for (let i: u32 = 0; i < keyCount; i++) {
    const aStop = findByteScalar(a, aEnd, TAB);
    const bStop = findByteScalar(b, bEnd, TAB);
    const order = compareCells(load<u8>(keyOrders + i), a, aStop, b, bStop);
    if (order != 0) return order;
    a = min(aStop + 1, aEnd);
    b = min(bStop + 1, bEnd);
  }
  return 0;
}

/** @returns the end of the last key cell of the row */
export function endOfKey(at: usize, end: usize): usize {
  for (let i: u32 = 1; i < keyCount; i++) at = min(findByte(at, end, TAB) + 1, end);
  return findByte(at, end, TAB);
}

export function compareCells(order: i32, a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  const aIsNull = load<u16>(a) == NULL_CELL && aEnd - a == 2;
  const bIsNull = load<u16>(b) == NULL_CELL && bEnd - b == 2;
  if (aIsNull || bIsNull) return <i32> aIsNull - <i32> bIsNull;
  switch (order) {
    case CellOrder.Integer:
      return compareIntegers(a, aEnd, b, bEnd);
    case CellOrder.Decimal:
      return compareDecimals(a, aEnd, b, bEnd);
    case CellOrder.Time:
      return compareTimes(a, aEnd, b, bEnd);
    case CellOrder.Padded:
      while (aEnd > a && load<u8>(aEnd - 1) == SPACE) aEnd--;
      while (bEnd > b && load<u8>(bEnd - 1) == SPACE) bEnd--;
  }
  return compareEscaped(a, aEnd, b, bEnd);
}

/** @returns the index of the first byte that is not the same at `a` and `b`, or `size` */
export function firstUnlike(a: usize, b: usize, size: u32): u32 {
  for (let i: u32 = 0; i < size; i += 16) {
    const unlike = ~i8x16.bitmask(i8x16.eq(v128.load(a + i), v128.load(b + i))) & 0xffff;
    if (unlike != 0) return min<u32>(i + ctz(unlike), size);
  }
  return size;
}

export function firstUnlikeScalar(a: usize, b: usize, size: u32): u32 {
  let i: u32 = 0;
  while (i < size && load<u8>(a + i) == load<u8>(b + i)) i++;
  return i;
}

function compareSizes(a: u32, b: u32): i32 {
  return a < b ? -1 : <i32> (a > b);
}

/** As memcmp, and of two of which one begins with the other the shorter one comes first. */
function comparePlain(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  const aSize = <u32> (aEnd - a);
  const bSize = <u32> (bEnd - b);
  const shared = min(aSize, bSize);
  const at = firstUnlike(a, b, shared);
  if (at == shared) return compareSizes(aSize, bSize);
  return <i32> load<u8>(a + at) - <i32> load<u8>(b + at);
}

/** As `comparePlain` of the unescaped bytes. */
function compareEscaped(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  const aSize = <u32> (aEnd - a);
  const bSize = <u32> (bEnd - b);
  const shared = min(aSize, bSize);
  const at = firstUnlike(a, b, shared);
  if (at == shared) return compareSizes(aSize, bSize);
  const aByte = load<u8>(a + at);
  const bByte = load<u8>(b + at);
  const isPlain = aByte != BACKSLASH && bByte != BACKSLASH && (at == 0 || load<u8>(a + at - 1) != BACKSLASH);
  return isPlain ? <i32> aByte - <i32> bByte : compareUnescaped(a, aEnd, b, bEnd);
}

function compareUnescaped(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  while (a < aEnd && b < bEnd) {
    let aByte = load<u8>(a++);
    let bByte = load<u8>(b++);
    if (aByte == BACKSLASH && a < aEnd) aByte = backslashByte(load<u8>(a++));
    if (bByte == BACKSLASH && b < bEnd) bByte = backslashByte(load<u8>(b++));
    if (aByte != bByte) return <i32> aByte - <i32> bByte;
  }
  return <i32> (a < aEnd) - <i32> (b < bEnd);
}

/** No plus, no leading zeros, no `-0`. */
function compareIntegers(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  const isNegative = load<u8>(a) == MINUS;
  if (isNegative != (load<u8>(b) == MINUS)) return isNegative ? -1 : 1;
  const aSize = <u32> (aEnd - a);
  const bSize = <u32> (bEnd - b);
  const order = aSize == bSize ? comparePlain(a, aEnd, b, bEnd) : compareSizes(aSize, bSize);
  return isNegative ? -order : order;
}

// A decimal taken apart by `openDecimal`: sign 0.d₁d₂… × 10^exponent, d₁ the digit at `digitsAt`, not 0.
let sign: i32 = 0;
let exponent: i32 = 0;
let digitsAt: usize = 0;
let digitsEnd: usize = 0;

/** Exponents beyond that of any number; NaN is the greatest of all. */
const INFINITE: i32 = 1 << 29;
const NOT_A_NUMBER: i32 = 1 << 30;

/** `[-]digits[.digits][e(+|-)digits]`, `[-]Infinity` or `NaN`. */
function openDecimal(at: usize, end: usize): void {
  sign = 1;
  digitsAt = end;
  digitsEnd = end;
  if (at < end && load<u8>(at) == MINUS) {
    sign = -1;
    at++;
  }
  const first = at < end ? load<u8>(at) : 0;
  if (first == 0x49 || first == 0x4e) { // I, N
    exponent = first == 0x49 ? INFINITE : NOT_A_NUMBER;
    return;
  }
  let scale: i32 = 0;
  let isBehindPoint = false;
  exponent = 0;
  for (; at < end; at++) {
    const byte = load<u8>(at);
    if ((byte | 0x20) == 0x65) { // e
      digitsEnd = at;
      if (digitsAt > at) digitsAt = at;
      scale = exponentAt(at + 1, end);
      break;
    }
    if (byte == POINT) {
      isBehindPoint = true;
    } else if (digitsAt != end) {
      exponent += <i32> !isBehindPoint;
    } else if (byte != ZERO) {
      digitsAt = at;
      exponent += <i32> !isBehindPoint;
    } else {
      exponent -= <i32> isBehindPoint;
    }
  }
  if (digitsAt == digitsEnd) sign = 0; // 0, -0, 0.00
  exponent += scale;
}

function exponentAt(at: usize, end: usize): i32 {
  let value: i32 = 0;
  const isNegative = at < end && load<u8>(at) == MINUS;
  for (; at < end; at++) {
    const digit = <i32> load<u8>(at) - ZERO;
    if (digit >= 0 && digit <= 9) value = value * 10 + digit;
  }
  return isNegative ? -value : value;
}

function compareDecimals(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  openDecimal(a, aEnd);
  const aSign = sign;
  const aExponent = exponent;
  a = digitsAt;
  aEnd = digitsEnd;
  openDecimal(b, bEnd);
  if (aSign != sign) return aSign - sign;
  if (sign == 0) return 0;
  let order = 0;
  if (aExponent != exponent) order = aExponent < exponent ? -1 : 1;
  else order = compareDigits(a, aEnd, digitsAt, digitsEnd);
  return sign < 0 ? -order : order;
}

/** Zeros behind the last digit do not count, nor does the point. */
function compareDigits(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  while (a < aEnd || b < bEnd) {
    if (a < aEnd && load<u8>(a) == POINT) a++;
    if (b < bEnd && load<u8>(b) == POINT) b++;
    const aDigit = a < aEnd ? load<u8>(a++) : ZERO;
    const bDigit = b < bEnd ? load<u8>(b++) : ZERO;
    if (aDigit != bDigit) return <i32> aDigit - <i32> bDigit;
  }
  return 0;
}

/** `year-month-day[ time][+00][ BC]`, `infinity` or `-infinity`; all of one type, in UTC. */
function compareTimes(a: usize, aEnd: usize, b: usize, bEnd: usize): i32 {
  const era = eraOf(a, aEnd);
  const unlike = era - eraOf(b, bEnd);
  if (unlike != 0) return unlike;
  if (era == Era.Past || era == Era.Future) return 0;
  const aYear = findByte(a, aEnd, MINUS);
  const bYear = findByte(b, bEnd, MINUS);
  const aSize = <u32> (aYear - a);
  const bSize = <u32> (bYear - b);
  const years = aSize == bSize ? comparePlain(a, aYear, b, bYear) : compareSizes(aSize, bSize);
  if (years != 0) return era == Era.BC ? -years : years;
  return comparePlain(aYear, aEnd, bYear, bEnd);
}

const enum Era {
  Past = 0,
  BC = 1,
  AD = 2,
  Future = 3,
}

function eraOf(at: usize, end: usize): i32 {
  if (at >= end) return Era.AD;
  if (load<u8>(at) == MINUS) return Era.Past;
  if (load<u8>(at) == 0x69) return Era.Future; // i
  const isBC = end - at > 3 && load<u16>(end - 3) == SPACE_B;
  return isBC ? Era.BC : Era.AD;
}
