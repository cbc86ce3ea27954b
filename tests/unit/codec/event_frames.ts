/** Events as a server sends them: COPY lines in CopyData messages. */
import { encodeCopyField } from "../../../src/codec/copy_text.ts";

const encoder = new TextEncoder();

export interface EventFields {
  id: number | bigint;
  txid?: number | bigint;
  type: string | null;
  /** ev_extra1 */
  table?: string | null;
  data: string | null;
  extra2?: string | null;
}

/** One CopyData message with `line`, which is text or bytes without the newline. */
export function frameOf(line: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = typeof line === "string" ? encoder.encode(line) : line;
  const frame = new Uint8Array(5 + bytes.length + 1);
  frame[0] = 0x64; // d
  new DataView(frame.buffer).setUint32(1, 4 + bytes.length + 1);
  frame.set(bytes, 5);
  frame[frame.length - 1] = 0x0a;
  return frame;
}

/** One CopyData message with one event. */
export function eventFrame(event: EventFields): Uint8Array<ArrayBuffer> {
  const { id, txid = 1000, type, table = "public.t", data, extra2 = null } = event;
  const fields = [String(id), String(txid), type, table, data, extra2, null, null];
  return frameOf(joined(fields.map((field) => field === null ? encoder.encode("\\N") : encodeCopyField(field)), 0x09));
}

/** CopyData messages of all the events, one after the other. */
export function eventFrames(events: readonly EventFields[]): Uint8Array<ArrayBuffer> {
  return joined(events.map(eventFrame));
}

/** The pieces one after the other, with `separator` between them if one is given. */
export function joined(pieces: readonly Uint8Array[], separator?: number): Uint8Array<ArrayBuffer> {
  const gap = separator === undefined ? 0 : 1;
  const size = pieces.reduce((sum, piece) => sum + piece.length + gap, 0) - (pieces.length > 0 ? gap : 0);
  const all = new Uint8Array(Math.max(size, 0));
  let at = 0;
  pieces.forEach((piece, index) => {
    if (index > 0 && separator !== undefined) all[at++] = separator;
    all.set(piece, at);
    at += piece.length;
  });
  return all;
}
