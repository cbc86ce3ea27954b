/** One event read as text: what the host looks at when bytes alone will not do. */
import { SkyqError } from "../base/errors.ts";
import { decodeCopyLine } from "./copy_text.ts";

/** The eight columns of an event; NULL is null. */
export interface EventText {
  readonly evId: bigint;
  readonly txid: bigint;
  readonly type: string | null;
  /** Of row events the table. */
  readonly extra1: string | null;
  /** Of row events the urlencoded row. */
  readonly data: string | null;
  readonly extra2: string | null;
  readonly extra3: string | null;
  readonly extra4: string | null;
}

/**
 * Reads a line of `COPY (select ev_id, ev_txid, ev_type, ev_extra1, ev_data, ev_extra2, ev_extra3, ev_extra4 …)`.
 * @param line without its newline; copied, not kept
 * @throws {SkyqError} `bad-event` when it has not these eight fields
 */
export function readEventLine(line: Uint8Array): EventText {
  const fields = decodeCopyLine(line);
  const [evId, txid, type, extra1, data, extra2, extra3, extra4] = fields;
  if (fields.length !== 8 || !isNumber(evId) || !isNumber(txid)) {
    throw new SkyqError(
      "bad-event",
      `Cannot read an event: not the eight columns of one, but ${fields.length} fields`,
      {
        facts: { evId: fields[0] ?? null },
      },
    );
  }
  return {
    evId: BigInt(evId),
    txid: BigInt(txid),
    type: type!,
    extra1: extra1!,
    data: data!,
    extra2: extra2!,
    extra3: extra3!,
    extra4: extra4!,
  };
}

function isNumber(field: string | null | undefined): field is string {
  return typeof field === "string" && /^[0-9]{1,20}$/.test(field);
}
