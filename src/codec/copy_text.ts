/** COPY's text format for single fields and single lines. Rows in bulk go through `event_codec.ts`. */
import { SkyqError } from "../base/errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const TAB = 0x09;
const BACKSLASH = 0x5c;
const LETTER_BYTES: Readonly<Record<string, number>> = { b: 0x08, f: 0x0c, n: 0x0a, r: 0x0d, t: 0x09, v: 0x0b };
const LETTERS: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

/** The bytes of a text as COPY TO writes it in a field. */
export function encodeCopyField(text: string): Uint8Array {
  // deno-lint-ignore no-control-regex
  return encoder.encode(text.replace(/[\\\x08-\x0d]/g, (char) => LETTERS[char]!));
}

/**
 * Splits one line without its newline into fields and undoes the escapes, `\N` is null.
 * @throws {SkyqError} `bad-event` when the bytes are not UTF-8
 */
export function decodeCopyLine(line: Uint8Array): (string | null)[] {
  return copyLineCells(line).map((cell) => {
    if (cell === null) return null;
    try {
      return decoder.decode(cell);
    } catch (cause) {
      throw new SkyqError("bad-event", "Cannot read an event: not UTF-8", { cause });
    }
  });
}

/** As `decodeCopyLine`, but bytes: parts of `line` where nothing is escaped. */
export function copyLineCells(line: Uint8Array): (Uint8Array | null)[] {
  const cells: (Uint8Array | null)[] = [];
  for (let start = 0; start <= line.length;) {
    let end = line.indexOf(TAB, start);
    if (end < 0) end = line.length;
    cells.push(copyCell(line.subarray(start, end)));
    start = end + 1;
  }
  return cells;
}

function copyCell(field: Uint8Array): Uint8Array | null {
  if (field.length === 2 && field[0] === BACKSLASH && field[1] === 0x4e) return null;
  return field.includes(BACKSLASH) ? unescape(field) : field;
}

/** Undoes `\letter`, `\ooo` (octal) and `\xhh`; a backslash before any other byte is dropped, as COPY FROM does. */
function unescape(field: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(field.length);
  let size = 0;
  for (let i = 0; i < field.length; i++) {
    // A value may have many megabytes behind its only backslash.
    const next = field.indexOf(BACKSLASH, i);
    const end = next < 0 || next + 1 === field.length ? field.length : next;
    if (end > i) {
      bytes.set(field.subarray(i, end), size);
      size += end - i;
      i = end;
      if (i === field.length) break;
    }
    const rest = String.fromCharCode(...field.subarray(i + 1, i + 4));
    const octal = /^[0-7]{1,3}/.exec(rest)?.[0];
    const hex = /^x([0-9a-fA-F]{1,2})/.exec(rest)?.[1];
    if (octal !== undefined) {
      bytes[size++] = parseInt(octal, 8); // modulo 256, as in the server
      i += octal.length;
    } else if (hex !== undefined) {
      bytes[size++] = parseInt(hex, 16);
      i += 1 + hex.length;
    } else {
      bytes[size++] = LETTER_BYTES[rest[0]!] ?? field[i + 1]!;
      i += 1;
    }
  }
  return bytes.subarray(0, size);
}
