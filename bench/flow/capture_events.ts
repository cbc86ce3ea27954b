/** Whether the events that were logged are the changes that were made. */
import type { Op } from "../data/t8.ts";
import type { CapturedTable } from "./capture_modes.ts";

const COLUMNS = ["id", "customer_id", "status", "created_at", "amount", "note", "flags", "updated_at"] as const;
/** So many rows are decoded and compared one by one; of the others the checksum is compared. */
const SAMPLE_ROWS_MAX = 1_000;

/** Texts of a row's columns in their order, or null. */
type Row = readonly (string | null)[];

/** The rows whose key is divisible by `step`, by key. */
export class Sample {
  private constructor(readonly step: number, readonly rows: ReadonlyMap<string, Row>) {}

  /** As they are in the table now. @param rowCount rows of the table */
  static async read({ admin }: CapturedTable, rowCount: number): Promise<Sample> {
    const step = Math.ceil(rowCount / SAMPLE_ROWS_MAX);
    const rows = await admin.query<{ texts: Row }>(
      `select array[${COLUMNS.map((column) => `${column}::text`).join(", ")}] as texts
         from t8 where id > 0 and id % ${step} = 0`,
    );
    return new Sample(step, new Map(rows.map(({ texts }) => [texts[0]!, texts])));
  }
}

/** The last event's number, 0 without events. */
export async function lastEvent({ admin, eventTable }: CapturedTable): Promise<bigint> {
  if (eventTable === null) return 0n;
  const [row] = await admin.query<{ last: bigint }>(
    `select coalesce(max(ev_id), 0)::bigint as last from ${eventTable}`,
  );
  return row!.last;
}

/**
 * Compares the events after event `after` with the rows that were changed.
 * @returns count and order-free checksum of the events, null when the table is not captured
 * @throws {Error} an event is missing, is there twice, or does not decode to its row
 */
export async function checkEvents(
  table: CapturedTable,
  { op, after, rowCount, sample }: { op: Op; after: bigint; rowCount: number; sample: Sample },
): Promise<string | null> {
  const { admin, eventTable, mode } = table;
  if (eventTable === null) return null;
  const [sum] = await admin.query<{ count: bigint; checksum: string }>(
    `select count(*) as count,
            sum(hashtextextended(concat_ws('|', ev_type, ev_data, ev_extra1, ev_extra2), 0))::text as checksum
       from ${eventTable} where ev_id > $1`,
    [after],
  );
  const fail = (found: string) => new Error(`Events of ${op} captured by "${mode}": ${found}`);
  if (Number(sum!.count) !== rowCount) throw fail(`${sum!.count} for ${rowCount} rows`);

  const events = await admin.query<{ type: string; data: string; name: string }>(
    `select ev_type as type, ev_data as data, ev_extra1 as name from ${eventTable}
      where ev_id > $1 and substring(ev_data from '^id=([0-9]+)')::bigint % ${sample.step} = 0`,
    [after],
  );
  const open = new Map(sample.rows);
  for (const { type, data, name } of events) {
    const row = decode(data);
    const expected = open.get(row[0]!);
    if (expected === undefined || row.some((text, i) => text !== expected[i])) {
      throw fail(`${JSON.stringify(data)} for row ${JSON.stringify(expected ?? null)}`);
    }
    if (type !== `${op[0]!.toUpperCase()}:id` || name !== "public.t8") throw fail(`type "${type}", table "${name}"`);
    open.delete(row[0]!);
  }
  if (open.size > 0) throw fail(`none for row ${[...open.keys()][0]}`);
  return `${sum!.count} events, ${sum!.checksum}`;
}

/** @example decode("id=1&customer_id=2&…&note=a+%26+b&flags&…")[6] === null */
function decode(data: string): Row {
  const text = (encoded: string) => decodeURIComponent(encoded.replaceAll("+", " "));
  const fields = new Map(
    data.split("&").map((part): [string, string | null] => {
      const at = part.indexOf("=");
      return at < 0 ? [text(part), null] : [text(part.slice(0, at)), text(part.slice(at + 1))];
    }),
  );
  return COLUMNS.map((column) => {
    const value = fields.get(column);
    if (value === undefined) throw new Error(`No column "${column}" in event ${JSON.stringify(data)}`);
    return value;
  });
}
