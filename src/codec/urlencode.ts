/**
 * The triggers' encoding of a row, `name=value&name=value`, for single events and attribute texts. Rows in bulk go
 * through `event_codec.ts`.
 */
import { SkyqError } from "../base/errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const PERCENT = 0x25;
const AMPERSAND = 0x26;
const PLUS = 0x2b;
const EQUALS = 0x3d;

/**
 * Decodes all elements in order, a repeated name as often as it is there. NULL values are null.
 * @throws {SkyqError} `bad-event` when a `%` has no two hex digits behind it, or the bytes are not UTF-8
 */
export function decodeElements(text: string | Uint8Array): [name: string, value: string | null][] {
  const bytes = typeof text === "string" ? encoder.encode(text) : text;
  const elements: [string, string | null][] = [];
  for (let start = 0; start < bytes.length;) {
    let end = bytes.indexOf(AMPERSAND, start);
    if (end < 0) end = bytes.length;
    if (end > start) {
      const element = bytes.subarray(start, end);
      const equals = element.indexOf(EQUALS);
      elements.push(
        equals < 0
          ? [decodePart(element), null]
          : [decodePart(element.subarray(0, equals)), decodePart(element.subarray(equals + 1))],
      );
    }
    start = end + 1;
  }
  return elements;
}

/**
 * Decodes a row; of a repeated name the last value counts. An empty text is a row without columns.
 * @throws {SkyqError} `bad-event`, see {@link decodeElements}
 * @example decodeUrl("id=1&txt=a+b&num").get("txt") === "a b"
 */
export function decodeUrl(text: string | Uint8Array): Map<string, string | null> {
  return new Map(decodeElements(text));
}

/**
 * Encodes a row byte for byte as the triggers do; undefined values are left out.
 * @example encodeUrl({ id: 1n.toString(), txt: "a b", num: null }) === "id=1&txt=a+b&num"
 */
export function encodeUrl(
  row: Readonly<Record<string, string | null | undefined>> | ReadonlyMap<string, string | null>,
): string {
  const entries = row instanceof Map ? [...row.entries()] : Object.entries(row);
  return entries
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => value === null ? encodePart(name) : `${encodePart(name)}=${encodePart(value!)}`)
    .join("&");
}

/** Encodes one name or value: letters, digits and `_.-` stand for themselves, space is `+`, other bytes are `%xx`. */
export function encodePart(text: string): string {
  let encoded = "";
  for (const byte of encoder.encode(text)) {
    const char = String.fromCharCode(byte);
    if (/[0-9A-Za-z_.-]/.test(char)) encoded += char;
    else if (byte === 0x20) encoded += "+";
    else encoded += "%" + byte.toString(16).padStart(2, "0");
  }
  return encoded;
}

function decodePart(bytes: Uint8Array): string {
  const decoded = new Uint8Array(bytes.length);
  let size = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte === PERCENT) {
      const digits = String.fromCharCode(...bytes.subarray(i + 1, i + 3));
      if (!/^[0-9a-fA-F]{2}$/.test(digits)) {
        throw new SkyqError("bad-event", `Cannot decode "${lenientText(bytes)}": "%" without two hex digits`);
      }
      decoded[size++] = parseInt(digits, 16);
      i += 2;
    } else {
      decoded[size++] = byte === PLUS ? 0x20 : byte;
    }
  }
  try {
    return decoder.decode(decoded.subarray(0, size));
  } catch (cause) {
    throw new SkyqError("bad-event", `Cannot decode "${lenientText(bytes)}": not UTF-8`, { cause });
  }
}

/** At most 80 characters of an undecodable text, for a message. */
function lenientText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, 80));
}
