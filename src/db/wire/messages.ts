/** Building frontend messages and reading the few backend messages whose text matters. Nothing here runs per row. */
import type { ServerFields } from "../errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The tag byte of a message, by its letter. @example tag("Q") === 0x51 */
export function tag(letter: string): number {
  return letter.charCodeAt(0);
}

/** The kinds of backend messages. */
export const TAG = {
  authentication: tag("R"),
  backendKeyData: tag("K"),
  bindComplete: tag("2"),
  closeComplete: tag("3"),
  commandComplete: tag("C"),
  copyBoth: tag("W"),
  copyData: tag("d"),
  copyDone: tag("c"),
  copyIn: tag("G"),
  copyOut: tag("H"),
  dataRow: tag("D"),
  emptyQuery: tag("I"),
  error: tag("E"),
  functionCall: tag("V"),
  negotiate: tag("v"),
  noData: tag("n"),
  notice: tag("N"),
  notification: tag("A"),
  parameterDescription: tag("t"),
  parameterStatus: tag("S"),
  parseComplete: tag("1"),
  portalSuspended: tag("s"),
  ready: tag("Z"),
  rowDescription: tag("T"),
} as const;

/** No message of a server is longer: its largest allocation is 1 GiB. */
const MESSAGE_LENGTH_MAX = 0x4000_0000;
/** Messages of other kinds than the long ones are short; a longer one means that the stream is out of step. */
const SHORT_MESSAGE_LENGTH_MAX = 30_000;
const LONG_MESSAGES: ReadonlySet<number> = new Set([
  TAG.copyData,
  TAG.dataRow,
  TAG.error,
  TAG.notice,
  TAG.notification,
  TAG.parameterDescription,
  TAG.rowDescription,
]);
const KNOWN_MESSAGES: ReadonlySet<number> = new Set(Object.values(TAG));

/** Protocol 3.0, and the two numbers that stand in its place in the untagged requests. */
export const PROTOCOL_VERSION = 196608;
export const SSL_REQUEST = 80877103;
export const CANCEL_REQUEST = 80877102;

/** Bytes of a message's tag and length. */
export const HEADER_SIZE = 5;

/** Builds messages one behind the other in a buffer of its own that grows. */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #lengthAt = 0;

  /** Begins a message; without `letter` an untagged one (start-up, cancel, SSL request). */
  begin(letter?: string): this {
    this.#reserve(HEADER_SIZE);
    if (letter !== undefined) this.#bytes[this.#length++] = tag(letter);
    this.#lengthAt = this.#length;
    this.#length += 4;
    return this;
  }

  /** Ends the message begun last: fills in its length. */
  end(): this {
    this.#view.setInt32(this.#lengthAt, this.#length - this.#lengthAt);
    return this;
  }

  int16(value: number): this {
    this.#reserve(2);
    this.#view.setInt16(this.#length, value);
    this.#length += 2;
    return this;
  }

  int32(value: number): this {
    this.#reserve(4);
    this.#view.setInt32(this.#length, value);
    this.#length += 4;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** Text with its closing zero byte. @throws {Error} when it holds a zero byte itself, which would end it early */
  cstring(text: string): this {
    if (text.includes("\0")) throw new Error("A protocol string must not contain a zero byte");
    this.bytes(encoder.encode(text));
    this.#reserve(1);
    this.#bytes[this.#length++] = 0;
    return this;
  }

  /** Text behind its length; null is length -1. */
  value(text: string | null): this {
    if (text === null) return this.int32(-1);
    const encoded = encoder.encode(text);
    return this.int32(encoded.length).bytes(encoded);
  }

  /** @returns what was built. A view: valid until the writer is used again */
  done(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + size));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** A message without body, e.g. `emptyMessage("S")` = Sync. */
export function emptyMessage(letter: string): Uint8Array<ArrayBuffer> {
  return new MessageWriter().begin(letter).end().done();
}

export function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** For loops over frames: its `getInt32` is twice as fast as `readInt32` where JavaScript is not optimised. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function readInt16(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) >> 16) | bytes[at + 1]!;
}

export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end));
}

/**
 * Size, header included, of the backend message at bytes[start, end).
 * @returns 0 when not all of it is there yet
 * @throws {MalformedMessage} as soon as its header shows that it is none
 */
export function messageSize(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < HEADER_SIZE) return 0;
  const tagByte = bytes[start]!;
  const length = readInt32(bytes, start + 1);
  const lengthMax = LONG_MESSAGES.has(tagByte) ? MESSAGE_LENGTH_MAX : SHORT_MESSAGE_LENGTH_MAX;
  if (length < 4 || length > lengthMax || !KNOWN_MESSAGES.has(tagByte)) throw new MalformedMessage(nameOf(tagByte));
  return end - start < 1 + length ? 0 : 1 + length;
}

/** A message's kind, for people. */
export function nameOf(tagByte: number): string {
  return tagByte > 0x20 && tagByte < 0x7f ? `"${String.fromCharCode(tagByte)}"` : `0x${tagByte.toString(16)}`;
}

/** The zero-ended strings of [start, end), in order. */
export function readStrings(bytes: Uint8Array, start: number, end: number): string[] {
  const strings: string[] = [];
  while (start < end) {
    const zero = bytes.indexOf(0, start);
    const stop = zero === -1 || zero > end ? end : zero;
    strings.push(decodeText(bytes, start, stop));
    start = stop + 1;
  }
  return strings;
}

const FIELD_NAMES: Record<string, keyof ServerFields> = {
  C: "sqlstate",
  M: "message",
  D: "detail",
  H: "hint",
  W: "where",
  P: "position",
  p: "internalPosition",
  q: "internalQuery",
  s: "schema",
  t: "table",
  c: "column",
  n: "constraint",
};

/** The body of an ErrorResponse or NoticeResponse. */
export function readFields(bytes: Uint8Array, start: number, end: number): ServerFields {
  const fields: ServerFields = { severity: "ERROR", sqlstate: "", message: "" };
  let plainSeverity = "";
  let fixedSeverity = "";
  for (const text of readStrings(bytes, start, end)) {
    const code = text.slice(0, 1);
    const name = FIELD_NAMES[code];
    if (name !== undefined) fields[name] = text.slice(1);
    else if (code === "S") plainSeverity = text.slice(1);
    else if (code === "V") fixedSeverity = text.slice(1);
  }
  fields.severity = fixedSeverity || plainSeverity || fields.severity;
  return fields;
}

export interface Column {
  name: string;
  typeOid: number;
}

/** The body of a RowDescription. */
export function readColumns(bytes: Uint8Array, start: number, end: number): Column[] {
  const columns: Column[] = [];
  const columnCount = readInt16(bytes, start);
  let at = start + 2;
  for (let index = 0; index < columnCount; index++) {
    const zero = bytes.indexOf(0, at);
    if (zero === -1 || zero + 19 > end) throw new MalformedMessage("RowDescription");
    columns.push({ name: decodeText(bytes, at, zero), typeOid: readInt32(bytes, zero + 7) >>> 0 });
    at = zero + 19;
  }
  return columns;
}

/** The body of a DataRow as texts. */
export function readRow(bytes: Uint8Array, start: number, end: number): (string | null)[] {
  const values: (string | null)[] = [];
  const valueCount = readInt16(bytes, start);
  let at = start + 2;
  for (let index = 0; index < valueCount; index++) {
    if (at + 4 > end) throw new MalformedMessage("DataRow");
    const size = readInt32(bytes, at);
    at += 4;
    if (size === -1) {
      values.push(null);
      continue;
    }
    if (size < 0 || at + size > end) throw new MalformedMessage("DataRow");
    values.push(decodeText(bytes, at, at + size));
    at += size;
  }
  return values;
}

/** A message whose inside contradicts its length; the connection has to be given up. */
export class MalformedMessage extends Error {
  constructor(messageName: string, state: "malformed" | "unexpected" = "malformed") {
    super(`${state} ${messageName} message`);
    this.name = "MalformedMessage";
  }
}
