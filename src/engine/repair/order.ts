/**
 * The statements that give both sides' rows in one order: the server's ORDER BY here and the merge's comparison in
 * `wasm/assembly/merge_keys.ts` are two forms of the same rule, `KeyOrder`.
 */
import type { Cell } from "../../codec/merge_codec.ts";
import { SkyqError } from "../../base/errors.ts";
import { quoteIdent, quoteLiteral, splitName } from "../../db/quote.ts";
import type { Queryable } from "../../db/queryable.ts";
import { isZoneMixed, keepsByteOrder, type KeyColumn, type Layout, type LayoutColumn, type Side } from "./layout.ts";

export type { Cell } from "../../codec/merge_codec.ts";

/** Keys from `after` (left out) to `upTo` (taken in); without one there is no bound on that side. One cell per key column. */
export interface KeyRange {
  readonly after?: readonly Cell[] | null;
  readonly upTo?: readonly Cell[] | null;
}

export interface ReadOptions {
  /** A condition in SQL, as the user wrote it. */
  where?: string | null;
  range?: KeyRange | null;
  /** Whether the server sorts; false gives rows as they lie, for `external_sort.ts`. Default true. */
  isOrdered?: boolean;
}

/** `copy (select … order by …) to stdout` of one side. */
export function readStatement(layout: Layout, side: Side, options: ReadOptions = {}): string {
  const order = options.isOrdered === false ? "" : ` order by ${orderBy(layout, side)}`;
  return `copy (select ${selectList(layout, side)} from ${fromClause(layout, side)}` +
    `${whereClause(layout, side, options)}${order}) to stdout`;
}

/** The table of one side as FROM names it; its columns are qualified with the table's own name, which `where` may use. */
export function fromClause(layout: Layout, side: Side): string {
  const { isPartitioned, quotedTable } = layout[side];
  return `${isPartitioned ? "" : "only "}${quotedTable}`;
}

/** ` where …` with the condition and the range, or nothing. */
export function whereClause(layout: Layout, side: Side, { where, range }: ReadOptions): string {
  const conditions = rangeConditions(layout, side, range ?? {});
  // The line feed ends a comment at the end of the user's condition.
  if (where !== null && where !== undefined) conditions.unshift(`(${where}\n)`);
  return conditions.length === 0 ? "" : ` where ${conditions.join(" and ")}`;
}

/**
 * Makes sure that a user's condition is one expression over the side's table, and nothing that ends the parentheses or
 * the statement around it. Nothing is read. A transaction that this fails in has failed.
 * @throws {SkyqError} `usage`
 */
export async function checkCondition(db: Queryable, layout: Layout, side: Side, where: string): Promise<void> {
  // What is right both ways has all of its parentheses in pairs; the extended protocol takes no second statement.
  for (const condition of [where, `(${where}\n)`]) {
    try {
      await db.query(`select 1 from ${fromClause(layout, side)} where ${condition}\n limit 0`);
    } catch (cause) {
      if (!(cause instanceof SkyqError) || !/^(42|22)/.test(cause.sqlstate ?? "")) throw cause;
      throw new SkyqError(
        "usage",
        `Cannot use condition "${where}" on table "${layout[side].table}": ${cause.message}`,
        {
          hint: "Write one expression in SQL, such as: region = 'eu' and id > 7.",
          cause,
        },
      );
    }
  }
}

/** The compared columns of one side, in the order of a row's cells, as expressions. */
export function selectList(layout: Layout, side: Side): string {
  return layout.columns.map((column) => cellExpression(layout, column, side)).join(", ");
}

/** The key's ORDER BY list on one side. */
export function orderBy(layout: Layout, side: Side): string {
  return layout.key.map((column) => orderExpression(layout, column, side)).join(", ");
}

/** What the merge sees of a column: the column itself, but for types that differ in how they show the same value. */
export function cellExpression(layout: Layout, column: LayoutColumn, side: Side): string {
  const { source, target } = column;
  const reference = columnReference(layout, column, side);
  const zone = shownZone(layout, column, side);
  if (zone !== null) return `pg_catalog.timezone(${zone}, ${reference})`;
  // Of two widths only what is in front of the padding can be the same.
  const isUnlike = source.type !== target.type;
  return isUnlike && column[side].builtin === "bpchar" ? `${reference}::pg_catalog.text` : reference;
}

/** The zone, as a literal, in which one side's instants are shown as local time; null where nothing is made of a column. */
export function shownZone(layout: Layout, column: LayoutColumn, side: Side): string | null {
  return isZoneMixed(column.source, column.target) && column[side].builtin === "timestamptz"
    ? quoteLiteral(layout[side].timeZone)
    : null;
}

function columnReference(layout: Layout, column: LayoutColumn, side: Side): string {
  return `${quoteIdent(splitName(layout[side].table).name)}.${quoteIdent(column.name)}`;
}

/** The expression by which one side's server gives the order of a key column. */
export function orderExpression(layout: Layout, column: KeyColumn, side: Side): string {
  const reference = columnReference(layout, column, side);
  if (column.isNative[side]) return cellOf(layout, column, side) ?? reference;
  const { builtin } = column[side];
  const isText = ["text", "varchar", "name", "bpchar"].includes(builtin);
  // format() calls the type's output function, as COPY does; a cast to text is something else for several types.
  // Of NULL it makes '', which must stay NULL to be last.
  const text = isText
    ? `${reference}${builtin === "bpchar" ? "::pg_catalog.text" : ""}`
    : column.isNullable
    ? `case when ${reference} is not null then pg_catalog.format('%s', ${reference}) end`
    : `pg_catalog.format('%s', ${reference})`;
  const isConverted = layout.clientEncoding === "UTF8" && !keepsByteOrder(layout[side].serverEncoding);
  return isConverted ? `pg_catalog.convert_to((${text})::pg_catalog.text, 'UTF8')` : `(${text}) collate "C"`;
}

/** The shown expression where it is what has to be ordered by: local time has another order than the instants. */
function cellOf(layout: Layout, column: KeyColumn, side: Side): string | null {
  return column.order === "time" && isZoneMixed(column.source, column.target)
    ? cellExpression(layout, column, side)
    : null;
}

/** Conditions, to be joined by `and`, that hold for exactly the keys of the range, in the order of `orderBy`. */
export function rangeConditions(layout: Layout, side: Side, range: KeyRange): string[] {
  const conditions: string[] = [];
  if (range.after) conditions.push(bound(layout, side, range.after, ">"));
  if (range.upTo) conditions.push(bound(layout, side, range.upTo, "<="));
  return conditions;
}

function bound(layout: Layout, side: Side, cells: readonly Cell[], operator: ">" | "<="): string {
  const expressions = layout.key.map((column) => orderExpression(layout, column, side));
  const values = layout.key.map((column, index) => boundLiteral(layout, column, side, cells[index] ?? null));
  if (!layout.key.some((column) => column.isNullable)) {
    return `(${expressions.join(", ")}) ${operator} (${values.join(", ")})`;
  }
  // A row comparison with NULL is NULL. Spelled out, with NULL as the last value of all.
  const beyond = layout.key.map((column, index) => {
    const same = layout.key.slice(0, index).map((_, i) => `${expressions[i]} is not distinct from ${values[i]}`);
    const isNull = cells[index] === null;
    const greater = isNull ? "false" : `${expressions[index]} > ${values[index]}`;
    const orNull = column.isNullable && !isNull ? `(${greater} or ${expressions[index]} is null)` : greater;
    return `(${[...same, orNull].join(" and ")})`;
  }).join(" or ");
  return operator === ">" ? `(${beyond})` : `((${beyond}) is not true)`;
}

/** A key cell as a literal that compares with `orderExpression`. */
export function boundLiteral(layout: Layout, column: KeyColumn, side: Side, cell: Cell): string {
  const isConverted = !column.isNative[side] && layout.clientEncoding === "UTF8" &&
    !keepsByteOrder(layout[side].serverEncoding);
  const type = isConverted ? "pg_catalog.bytea" : literalType(column, side);
  if (cell === null) return `null::${type}`;
  if (column.order === "padded" && !column.isNative[side]) cell = withoutPadding(cell);
  if (isConverted) return `'\\x${hex(cell)}'::pg_catalog.bytea`;
  return `${textLiteral(cell)}::${type}${column.isNative[side] ? "" : ' collate "C"'}`;
}

function withoutPadding(cell: Uint8Array): Uint8Array {
  return cell.subarray(0, cell.findLastIndex((byte) => byte !== 0x20) + 1);
}

/** A type without length, wide enough for the other side's values. */
function literalType(column: KeyColumn, side: Side): string {
  if (!column.isNative[side]) return "pg_catalog.text";
  const { builtin, baseType } = column[side];
  if (column.order === "integer" && builtin !== "oid") return "pg_catalog.int8";
  if (column.order === "decimal" && !builtin.startsWith("float")) return "pg_catalog.numeric";
  if (column.order === "time" && isZoneMixed(column.source, column.target)) return "pg_catalog.timestamp";
  return builtin === "varchar" ? "pg_catalog.text" : baseType;
}

/** A text literal; bytes that are no UTF-8 come to the server as hex. */
function textLiteral(cell: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(cell);
  } catch {
    return `pg_catalog.convert_from('\\x${hex(cell)}', pg_catalog.getdatabaseencoding())`;
  }
  return `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The settings that decide how values read, the same on both sides. `row_security` makes the server refuse where it
 * would leave rows out unseen.
 */
export function textSettings(layout: Layout): Record<string, string> {
  const isShownByPath = layout.columns.some(({ source, target }) => source.isShownByPath || target.isShownByPath);
  return {
    client_encoding: layout.clientEncoding,
    datestyle: "ISO, MDY",
    intervalstyle: "postgres",
    timezone: "UTC",
    extra_float_digits: "3",
    bytea_output: "hex",
    xmlbinary: "base64",
    lc_monetary: "C",
    standard_conforming_strings: "on",
    quote_all_identifiers: "off",
    row_security: "off",
    ...(isShownByPath ? { search_path: "pg_catalog" } : {}),
  };
}

/**
 * Makes a session show values as the walk needs them.
 * @returns the settings as they were, for `putSettings`; a rollback of the transaction puts them back as well
 */
export async function pinSettings(db: Queryable, layout: Layout): Promise<Record<string, string>> {
  const settings = textSettings(layout);
  const rows = await db.query<{ name: string; before: string }>(
    `select s.name, pg_catalog.current_setting(s.name) as before from unnest($1::text[]) as s(name)`,
    [Object.keys(settings)],
  );
  await putSettings(db, settings);
  return Object.fromEntries(rows.map(({ name, before }) => [name, before]));
}

export async function putSettings(db: Queryable, settings: Readonly<Record<string, string>>): Promise<void> {
  await db.query(
    "select pg_catalog.set_config(s.name, s.value, false) from unnest($1::text[], $2::text[]) as s(name, value)",
    [Object.keys(settings), Object.values(settings)],
  );
}

/** The error for a row whose key is not greater than that of the row before. */
export function outOfOrder(layout: Layout, side: Side, key: readonly Cell[]): SkyqError {
  const decoder = new TextDecoder();
  const shown = key.map((cell) => cell === null ? "NULL" : `'${decoder.decode(cell)}'`).join(", ");
  const names = layout.key.map((column) => column.name).join(", ");
  return new SkyqError(
    "structure",
    `Cannot compare table "${layout[side].table}": the ${side}'s rows are not in order at (${names}) = (${shown})`,
    {
      hint: "Two rows have the same key, or an index is damaged: look at that key without index scans, " +
        "and REINDEX the table's key.",
      facts: { side },
    },
  );
}
