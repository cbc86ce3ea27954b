// Step 2 of 7: the batch's events as bytes, by COPY … TO STDOUT.

import { quoteLiteral } from "../../db/quote.ts";
import { type Batch, batchEventSql } from "../../queue/pgq.ts";
import type { Path } from "./path.ts";

/**
 * Reads the events of an open batch in ev_id order. The columns are those the codec expects (`wasm/assembly/abi.ts`).
 * Each chunk is a run of CopyData messages with their headers, cut anywhere, lent until the next one is asked for.
 */
export async function* fetchEvents(path: Path, batch: Batch): AsyncGenerator<Uint8Array> {
  const events = await batchEventSql(path.provider, batch.batchId);
  const filter = path.onlyTable === null ? "" : ` where e.ev_extra1 = ${quoteLiteral(path.onlyTable)}`;
  // The ordering of the inner query alone is not promised to survive a filter around it, so it is repeated.
  yield* path.provider.copyOut(
    `copy (select e.ev_id, e.ev_txid, e.ev_type, e.ev_extra1, e.ev_data, e.ev_extra2, e.ev_extra3, e.ev_extra4
             from (${events}) e${filter}
            order by e.ev_id) to stdout`,
  );
}
