// Columns of the provider that a subscriber's table lacks, and shall lack: kept in the table's attributes.

import { decodeUrl, encodePart, encodeUrl } from "../../codec/urlencode.ts";
import type { TableRow } from "../../queue/londiste.ts";

const ATTRIBUTE = "skip_columns";

/** The attribute that leaves columns out. @example leaveOut(["a", "b c"]) // "skip_columns=a%2cb%2bc" */
export function leaveOut(columns: readonly string[]): string {
  return encodeUrl(new Map([[ATTRIBUTE, columns.map(encodePart).join(",")]]));
}

/** Columns that copy and replay pass over. */
export function leftOut({ table_attrs }: Pick<TableRow, "table_attrs">): ReadonlySet<string> {
  const list = decodeUrl(table_attrs ?? "").get(ATTRIBUTE);
  return new Set(list ? list.split(",").flatMap((name) => [...decodeUrl(name).keys()]) : []);
}
