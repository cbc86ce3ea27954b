// Single rows, looked up by their keys: for second looks.

import { Buffer } from "node:buffer";
import { SkyqError } from "../../base/errors.ts";
import { quoteIdent, quoteLiteral, splitName } from "../../db/quote.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { castForEquality, type Layout, type LayoutColumn, type Side } from "./layout.ts";
import { type Cell, fromClause, selectList, shownZone } from "./order.ts";

const HEADER_SIZE = 5;
const LINE_FEED = 0x0a;
const TAB = 0x09;
const BACKSLASH = 0x5c;
/** What no table is called, more or less. */
const KEYS = '"skyq keys"';

/**
 * The rows with these keys on one side, null where there is none. The session has the layout's settings (`pinSettings`).
 * @param keys at most some thousand: all rows are held at once
 */
export async function readRowsByKey(
  connection: WireConnection,
  layout: Layout,
  side: Side,
  keys: readonly (readonly Cell[])[],
): Promise<(readonly Cell[] | null)[]> {
  const rows: (readonly Cell[] | null)[] = keys.map(() => null);
  if (keys.length === 0) return rows;
  const table = quoteIdent(splitName(layout[side].table).name);
  const lines = keys.map((key, n) => `(${[n, ...keyLiterals(layout, side, key)].join(", ")})`);
  const names = layout.key.map((_, i) => `k${i}`);
  const matches = keyConditions(layout, side, table, names.map((name) => `${KEYS}.${name}`));
  const sql = `copy (select ${KEYS}.n, ${selectList(layout, side)} from (values ${lines.join(", ")}) ${KEYS}(n, ${
    names.join(", ")
  }) join ${fromClause(layout, side)} on ${matches.join(" and ")}) to stdout`;
  for await (const [n, ...cells] of copiedRows(connection, sql)) rows[Number(decoder.decode(n!))] = cells;
  return rows;
}

/** A key's cells as literals of the side's types. */
export function keyLiterals(layout: Layout, side: Side, key: readonly Cell[]): string[] {
  return layout.key.map((column, i) => {
    const { isEnum, baseType } = column[side];
    if (isEnum && !column.isNullable) {
      // A label that this side does not have is in none of its rows; said as a literal it would be an error.
      return `(select l from pg_catalog.unnest(pg_catalog.enum_range(null::${baseType})) l` +
        ` where l::pg_catalog.text = ${quoteLiteral(textOf(key[i]!))})`;
    }
    // The other side's may be too large for this one's type; an index of either takes both.
    const isMixed = column.order === "integer" && column.source.builtin !== column.target.builtin;
    return valueLiteral(layout, column, side, key[i]!, isMixed ? "pg_catalog.int8" : undefined);
  });
}

/** Conditions, to be joined by `and`, that a table's row has the key that these expressions give. */
export function keyConditions({ key }: Layout, side: Side, table: string, values: readonly string[]): string[] {
  return key.map((column, i) => {
    const here = `${table}.${quoteIdent(column.name)}${castForEquality(column[side])}`;
    const { equality } = column[side];
    if (!column.isNullable) return `${here} ${equality} ${values[i]}`;
    // The long forms cannot use an index.
    return equality === "="
      ? `${here} is not distinct from ${values[i]}`
      : `(${here} ${equality} ${values[i]} or ${here} is null and ${values[i]} is null)`;
  });
}

/** A cell as a value of the side's type, or of another one. */
export function valueLiteral(
  layout: Layout,
  column: LayoutColumn,
  side: Side,
  cell: Cell,
  type: string = column[side].baseType,
): string {
  if (cell === null) return `null::${type}`;
  const zone = shownZone(layout, column, side);
  const literal = quoteLiteral(textOf(cell));
  return zone === null ? `${literal}::${type}` : `pg_catalog.timezone(${zone}, ${literal}::pg_catalog.timestamp)`;
}

/** The text of a cell. @throws {SkyqError} `structure` for bytes that are no text in UTF-8 */
export function textOf(cell: Uint8Array): string {
  try {
    return strictDecoder.decode(cell);
  } catch (cause) {
    throw new SkyqError("structure", "Cannot look a row up again: its key is not UTF-8", {
      hint: "The database is SQL_ASCII: compare without --online, and repair without --apply.",
      cause,
    });
  }
}

const decoder = new TextDecoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The rows of a small COPY, unescaped; the cells may be kept. */
export async function* copiedRows(connection: WireConnection, sql: string): AsyncGenerator<Cell[], void, void> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of connection.copyOut(sql)) {
    const bytes = new Uint8Array(rest.length + chunk.length);
    bytes.set(rest);
    bytes.set(chunk, rest.length);
    const view = new DataView(bytes.buffer);
    let at = 0;
    while (at + HEADER_SIZE <= bytes.length) {
      const end = at + 1 + view.getUint32(at + 1);
      if (end > bytes.length) break;
      // The server sends each row in a message of its own.
      const last = bytes[end - 1] === LINE_FEED ? end - 1 : end;
      yield cellsOf(bytes.subarray(at + HEADER_SIZE, last));
      at = end;
    }
    rest = bytes.subarray(at);
  }
}

function cellsOf(line: Uint8Array): Cell[] {
  const cells: Cell[] = [];
  for (let start = 0; start <= line.length;) {
    let end = line.indexOf(TAB, start);
    if (end < 0) end = line.length;
    cells.push(unescaped(line.subarray(start, end)));
    start = end + 1;
  }
  return cells;
}

/** What stands behind a backslash in COPY TO's text for a control character; it writes no other escapes. */
const LETTERS: Readonly<Record<number, number>> = { 98: 8, 102: 12, 110: 10, 114: 13, 116: 9, 118: 11 };

function unescaped(cell: Uint8Array): Cell {
  if (cell.length === 2 && cell[0] === BACKSLASH && cell[1] === 0x4e) return null;
  if (!cell.includes(BACKSLASH)) return cell;
  const bytes = new Uint8Array(cell.length);
  let size = 0;
  for (let i = 0; i < cell.length; i++) {
    bytes[size++] = cell[i] === BACKSLASH ? LETTERS[cell[++i]!] ?? cell[i]! : cell[i]!;
  }
  return bytes.subarray(0, size);
}

/** Whether two cells are the same value, as their texts tell. */
export function sameCell(a: Cell, b: Cell): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Whether two rows are the same; a row that is not there is the same as another that is not there. */
export function sameRow(a: readonly Cell[] | null, b: readonly Cell[] | null): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((cell, index) => sameCell(cell, b[index]!));
}
