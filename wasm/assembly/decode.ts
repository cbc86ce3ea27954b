// Two encodings lie over a value: the trigger's (`%XX`, `+`) and COPY's (backslash letters). COPY TO writes only the
// letters below, none of which is a mark of the other encoding, so one loop undoes both. scan.ts has checked every
// escape before anything here sees it.

import { copyPlain } from "./bytes";

/** Where the last call of `decodeValue`, `copyValue` or `openElement` stopped: at the `&` behind it or at the end. */
export let stoppedAt: usize = 0;

/** The byte that COPY's `\letter` stands for, or 0 when COPY TO never writes that. */
export function backslashByte(letter: u8): u8 {
  switch (letter) {
    case 0x5c: // \
      return 0x5c;
    case 0x62: // b
      return 0x08;
    case 0x66: // f
      return 0x0c;
    case 0x6e: // n
      return 0x0a;
    case 0x72: // r
      return 0x0d;
    case 0x74: // t
      return 0x09;
    case 0x76: // v
      return 0x0b;
  }
  return 0;
}

/** The letter for COPY's `\letter`, or 0 when the byte stands for itself. */
function backslashLetter(byte: u8): u8 {
  switch (byte) {
    case 0x5c:
      return 0x5c;
    case 0x08:
      return 0x62;
    case 0x0c:
      return 0x66;
    case 0x0a:
      return 0x6e;
    case 0x0d:
      return 0x72;
    case 0x09:
      return 0x74;
    case 0x0b:
      return 0x76;
  }
  return 0;
}

export function isHexDigit(byte: u8): bool {
  return <u8> (byte - 0x30) < 10 || <u8> ((byte | 0x20) - 0x61) < 6;
}

/** The byte that the two hex digits at `at` stand for. */
export function hexByte(at: usize): u8 {
  const high: u32 = load<u8>(at);
  const low: u32 = load<u8>(at, 1);
  return <u8> ((((high & 15) + 9 * (high >> 6)) << 4) | ((low & 15) + 9 * (low >> 6)));
}

/**
 * Decodes the value that begins at `at` and ends at the next `&` or at `end`. Never writes more bytes than it reads,
 * the apron aside.
 * @returns the end of what was written
 */
export function decodeValue(at: usize, end: usize, out: usize): usize {
  while (true) {
    const mark = copyPlain(at, end, out);
    out += mark - at;
    at = mark;
    if (at >= end) break;
    const byte = load<u8>(at);
    if (byte == 0x26) break;
    if (byte == 0x2b) {
      store<u8>(out++, 0x20);
      at++;
    } else if (byte == 0x25) {
      store<u8>(out++, hexByte(at + 1));
      at += 3;
    } else {
      store<u8>(out++, backslashByte(load<u8>(at, 1)));
      at += 2;
    }
  }
  stoppedAt = at;
  return out;
}

/** As `decodeValue`, for a COPY line: bytes that would end a field or a line, and backslashes, leave as `\letter`. */
export function copyValue(at: usize, end: usize, out: usize): usize {
  while (true) {
    const mark = copyPlain(at, end, out);
    out += mark - at;
    at = mark;
    if (at >= end) break;
    const byte = load<u8>(at);
    if (byte == 0x26) break;
    if (byte == 0x2b) {
      store<u8>(out++, 0x20);
      at++;
    } else if (byte == 0x25) {
      const decoded = hexByte(at + 1);
      const letter = backslashLetter(decoded);
      if (letter != 0) store<u8>(out++, 0x5c);
      store<u8>(out++, letter != 0 ? letter : decoded);
      at += 3;
    } else {
      store<u16>(out, load<u16>(at)); // `\letter` is what COPY wants as well
      out += 2;
      at += 2;
    }
  }
  stoppedAt = at;
  return out;
}

/**
 * Goes to the value of the element at `at` of an event that is known to have its table's shape.
 * @returns the address of the value, or 0 for NULL; `stoppedAt` is then the end of the element
 */
export function openElement(at: usize, end: usize, nameSize: u32, canonical: bool): usize {
  if (canonical) {
    at += nameSize;
  } else {
    while (at < end && load<u8>(at) == 0x26) at++;
    at = findNameEnd(at, end);
  }
  if (at < end && load<u8>(at) == 0x3d) return at + 1;
  stoppedAt = at;
  return 0;
}

/** @returns the address of the first `=` or `&` in [at, end), or `end` */
export function findNameEnd(at: usize, end: usize): usize {
  while (at < end) {
    const byte = load<u8>(at);
    if (byte == 0x3d || byte == 0x26) break;
    at++;
  }
  return at;
}

let nextAt: usize = 0;

/** Decodes one byte at `at`; `nextAt` is where the next one begins. */
function decodeByte(at: usize): u8 {
  const byte = load<u8>(at);
  if (byte == 0x25) {
    nextAt = at + 3;
    return hexByte(at + 1);
  }
  if (byte == 0x5c) {
    nextAt = at + 2;
    return backslashByte(load<u8>(at, 1));
  }
  nextAt = at + 1;
  return byte == 0x2b ? 0x20 : byte;
}

/** Whether two checked encoded texts decode to the same bytes. Slow and rare: texts are mostly the same undecoded. */
export function sameDecoded(a: usize, aEnd: usize, b: usize, bEnd: usize): bool {
  while (a < aEnd && b < bEnd) {
    const byte = decodeByte(a);
    a = nextAt;
    if (byte != decodeByte(b)) return false;
    b = nextAt;
  }
  return a == aEnd && b == bEnd;
}
