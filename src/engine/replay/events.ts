// The events between the rows: truncation, registration, sequences, members of the set.

import { SkyqError } from "../../base/errors.ts";
import type { EventText } from "../../codec/event_text.ts";
import { quoteFullName } from "../../db/quote.ts";
import { globalAddTable, globalRemoveSeq, globalRemoveTable, globalUpdateSeq } from "../../queue/londiste.ts";
import { isVisible, parseSnapshot } from "./snapshot.ts";
import type { TakenTables } from "./parts.ts";
import type { BatchStats, Path } from "./path.ts";

/**
 * Applies one event that is no row in the set-based sense, after everything before it and before everything behind it.
 * @throws {SkyqError} `bad-event` for a type nobody here understands: to go on would lose data
 */
export async function applyEvent(
  path: Path,
  tables: TakenTables,
  event: EventText,
  stats: BatchStats,
): Promise<void> {
  const type = event.type ?? "";
  if (type === "R" || type === "I" || type === "U" || type === "D") {
    const table = tables.get(event.extra1 ?? "");
    const isCopied = table?.snapshot != null && isVisible(parseSnapshot(table.snapshot), event.txid);
    if (table == null || isCopied) stats.ignored++;
    else await path.subscriber.exec(rowSql(type, quoteFullName(table.dest), event.data ?? ""));
    return;
  }
  if (!path.systemEvents) {
    stats.ignored++;
    return;
  }
  const db = path.subscriber;
  const data = event.data ?? "";
  switch (type) {
    case "londiste.add-table":
      await globalAddTable(db, path.queue, data);
      break;
    case "londiste.remove-table":
      path.log.info(`Removing table ${data} from set`);
      await globalRemoveTable(db, path.queue, data);
      break;
    case "londiste.update-seq":
      await globalUpdateSeq(db, path.queue, event.extra1 ?? "", BigInt(data));
      break;
    case "londiste.remove-seq":
      await globalRemoveSeq(db, path.queue, data);
      break;
    case "pgq.location-info":
      await db.query("select ret_code from pgq_node.register_location($1, $2, $3, $4)", [
        path.queue,
        data,
        event.extra2,
        event.extra3 === "true",
      ]);
      break;
    case "pgq.unregister-location":
      await db.query("select ret_code from pgq_node.unregister_location($1, $2)", [path.queue, data]);
      break;
    case "pgq.global-watermark":
      await db.query("select ret_code from pgq_node.set_global_watermark($1, $2)", [path.queue, BigInt(data)]);
      break;
    default:
      if (type.startsWith("pgq.")) {
        stats.ignored++;
        break;
      }
      throw new SkyqError("bad-event", `Unhandled event type in queue: ${type}`, {
        hint: "The event was written by a trigger or a tool that this version does not know; replay stops before it.",
        facts: { evId: event.evId, extra1: event.extra1 },
      });
  }
}

/** The partial SQL of `pgq.sqltriga`, and its truncation event. */
function rowSql(type: "R" | "I" | "U" | "D", table: string, data: string): string {
  switch (type) {
    case "R":
      return `truncate ${table} cascade`;
    case "I":
      return `insert into ${table} ${data}`;
    case "U":
      return `update only ${table} set ${data}`;
    case "D":
      return `delete from only ${table} where ${data}`;
  }
}
