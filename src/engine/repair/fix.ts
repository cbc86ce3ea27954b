/**
 * Statements that make the target's row what the source's is, and those that take that back. One statement per line
 * (values may hold line feeds), as bytes: values stand there as the server gave them.
 */
import { quoteLiteral } from "../../db/quote.ts";
import { sameCell } from "./keyed.ts";
import { castForEquality, type Layout, type LayoutColumn } from "./layout.ts";
import { shownZone } from "./order.ts";
import type { Cell, Difference } from "./walk.ts";

const encoder = new TextEncoder();
const QUOTE = 0x27;
const BACKSLASH = 0x5c;

/**
 * What brings the target's row in line, with `;` and a line feed behind it:
 *
 *     insert into public.t (id, a) values ('2', 'x');
 *     update only public.t set a = 'new', b = null where id = '4' and a is null and b = 'old';
 *     delete from only public.t where id = '5000';
 *
 * An update sets only columns that differ, and does nothing when they have changed since. Null when only computed
 * columns differ: no statement mends those.
 * @param isLookedUp the server was asked for the key just now: a row that is missing is there in no other spelling
 */
export function fixStatement(
  layout: Layout,
  difference: Difference,
  { isLookedUp = false }: { isLookedUp?: boolean } = {},
): Uint8Array | null {
  const { key, source, target } = difference;
  if (target === null) return isLookedUp ? insertOnly(layout, source!) : insert(layout, source!);
  if (source === null) return remove(layout, key);
  return update(layout, target, source);
}

/**
 * The statement of an update in two: one that sets the row aside, and one that goes on from there. Neither does anything
 * to a row that has changed since.
 * @param aside the target's row as it is between the two
 */
export function statementsByWayOf(
  layout: Layout,
  { source, target }: Difference,
  aside: readonly Cell[],
): { aside: Uint8Array; then: Uint8Array } | null {
  const isWritable = !layout.columns.some((column, n) =>
    column.target.isIdentityAlways && !sameCell(source![n]!, target![n]!)
  );
  const statements = [update(layout, target!, aside, source!), update(layout, aside, source!)];
  return isWritable && statements[0] && statements[1] ? { aside: statements[0], then: statements[1] } : null;
}

/** The difference that is there once this one is mended: its fix brings back what was. */
export function reversed(layout: Layout, { kind, key, source, target }: Difference): Difference {
  return {
    kind: kind === "insert" ? "delete" : kind === "delete" ? "insert" : "update",
    key: source?.slice(0, layout.key.length) ?? key,
    source: target,
    target: source,
  };
}

/**
 * What brings the target's row back to what the difference found. A row that the fix deletes comes back with the
 * compared columns only: those that are left out, or that only the target has, are not known here (`targetOnly`).
 */
export function undoStatement(layout: Layout, difference: Difference): Uint8Array | null {
  return fixStatement(layout, reversed(layout, difference));
}

/**
 * Settings that the statements need, as lines for the head of a file. The encoding is never left to chance: a terminal,
 * a role or PGCLIENTENCODING may have psql take the bytes for something else.
 */
export function fixPreamble(layout: Layout): string {
  const { firing } = layout.target;
  // What types of the user's are made of is not known here.
  const has = (pattern: RegExp) => layout.columns.some(({ target }) => !target.isEnum && pattern.test(target.builtin));
  const [hasArrays, hasMoney] = [has(/^_|^$/), has(/money$|^$/)];
  return `set client_encoding = '${layout.clientEncoding}';\n` +
    (hasArrays ? "set array_nulls = on;\n" : "") +
    (hasMoney ? "set lc_monetary = 'C';\n" : "") +
    (isQuiet(layout)
      ? "do $skyq$ begin set session_replication_role = replica; exception when insufficient_privilege then\n" +
        `raise warning 'Triggers and foreign keys fire: %',${quoteLiteral(` ${shownNames(firing)}`)}; end $skyq$;\n`
      : firing.length > 0
      ? `-- Triggers and foreign keys fire for these statements: ${shownNames(firing)}\n`
      : "");
}

/** The last lines of a file with that preamble. */
export function fixEnd(layout: Layout): string {
  return isQuiet(layout)
    ? "do $skyq$ begin reset session_replication_role; exception when insufficient_privilege then null; end $skyq$;\n"
    : "";
}

/**
 * Whether a file asks to run as a replica does, which is what --apply does: a trigger would change the rows once more,
 * and a foreign key refuse or follow what is mended in another table. Not where others learn of changes by a trigger,
 * nor where constraints would be left unchecked.
 */
function isQuiet({ target }: Layout): boolean {
  return target.firing.length > 0 && !target.isCaptured && !target.hasDeferrable;
}

/** Names in a comment, or between dollar quotes. */
function shownNames(names: readonly string[]): string {
  return names.join(", ").replace(/[\p{C}$]/gu, "?");
}

function insert(layout: Layout, cells: readonly Cell[]): Uint8Array {
  if (!layout.key.some((column) => column.isLoose)) return insertOnly(layout, cells);
  // A row whose key is the same in another spelling is a difference of its own, which may come behind this one.
  const sameKey = remove(layout, cells.slice(0, layout.key.length), false);
  return new StatementWriter().raw(sameKey).raw(insertOnly(layout, cells)).done();
}

function insertOnly(layout: Layout, cells: readonly Cell[]): Uint8Array {
  const fixed = layout.columns.map((column, index) => ({ column, cell: cells[index]! }))
    .filter(({ column }) => !column.isGenerated);
  const names = fixed.map(({ column }) => column.target.quotedName).join(", ");
  const overriding = fixed.some(({ column }) => column.target.isIdentityAlways) ? " overriding system value" : "";
  const writer = new StatementWriter();
  writer.text(`insert into ${layout.target.quotedTable} (${names})${overriding} values (`);
  fixed.forEach(({ column, cell }, index) => value(layout, writer.text(index === 0 ? "" : ", "), column, cell));
  return writer.text(");\n").done();
}

/** @param next what the row is to be in the end: columns that change on the way there must be as they were, too */
function update(
  layout: Layout,
  before: readonly Cell[],
  after: readonly Cell[],
  next: readonly Cell[] = after,
): Uint8Array | null {
  const changed = layout.columns.map((column, index) => ({ column, index }))
    .filter(({ column, index }) => !column.isGenerated && !sameCell(before[index]!, after[index]!));
  if (changed.length === 0) return null;
  if (changed.some(({ column }) => column.target.isIdentityAlways)) {
    // No UPDATE may set such a column.
    return replace(layout, before, after);
  }
  const writer = new StatementWriter().text(`update ${only(layout)}${layout.target.quotedTable} set `);
  changed.forEach(({ column, index }, nth) => {
    value(layout, writer.text(`${nth === 0 ? "" : ", "}${column.target.quotedName} = `), column, after[index]!);
  });
  writer.text(" where ");
  layout.key.forEach((column, index) => {
    if (index > 0) writer.text(" and ");
    condition(layout, writer, column, before[index]!);
  });
  layout.columns.forEach((column, index) => {
    if (column.isKey || column.isGenerated) return;
    if (sameCell(before[index]!, after[index]!) && sameCell(before[index]!, next[index]!)) return;
    writer.text(" and ");
    condition(layout, writer, column, before[index]!);
  });
  return writer.text(";\n").done();
}

/** Deletes a row and inserts it anew in one statement; columns that are not compared keep their values. */
function replace(layout: Layout, before: readonly Cell[], after: readonly Cell[]): Uint8Array {
  const fixed = layout.columns.map((column, index) => ({ column, index })).filter(({ column }) => !column.isGenerated);
  const names = [...fixed.map(({ column }) => column.target.quotedName), ...layout.leftOut];
  const writer = new StatementWriter().text(
    `with gone as (delete from ${only(layout)}${layout.target.quotedTable} where `,
  );
  const conditions = fixed.filter(({ column, index }) => column.isKey || !sameCell(before[index]!, after[index]!));
  conditions.forEach(({ column, index }, nth) => {
    if (nth > 0) writer.text(" and ");
    condition(layout, writer, column, before[index]!);
  });
  // The row comes back; what would go with it does not.
  if (layout.target.isFollowed) writer.text(" and current_setting('session_replication_role') = 'replica'");
  writer.text(
    ` returning *) insert into ${layout.target.quotedTable} (${names.join(", ")}) overriding system value select `,
  );
  fixed.forEach(({ column, index }, nth) => value(layout, writer.text(nth === 0 ? "" : ", "), column, after[index]!));
  return writer.text(`${layout.leftOut.map((name) => `, gone.${name}`).join("")} from gone;\n`).done();
}

/** @param isExact leaves a row alone whose key is the same only as its type sees it */
function remove(layout: Layout, key: readonly Cell[], isExact = true): Uint8Array {
  const writer = new StatementWriter().text(`delete from ${only(layout)}${layout.target.quotedTable} where `);
  layout.key.forEach((column, index) => {
    if (index > 0) writer.text(" and ");
    const cell = key[index]!;
    condition(layout, writer, column, cell);
    if (!isExact || !column.isLoose || cell === null) return;
    writer.text(` and ${column.target.quotedName}::text collate "C" = `).literal(cell);
  });
  return writer.text(";\n").done();
}

function only(layout: Layout): string {
  return layout.target.isPartitioned ? "" : "only ";
}

function condition(layout: Layout, writer: StatementWriter, column: LayoutColumn, cell: Cell): void {
  const { quotedName, hasEquality, equality, isShownByPath, baseType } = column.target;
  if (cell === null) return void writer.text(`${quotedName} is null`);
  const zone = shownZone(layout, column, "target");
  if (zone !== null && !column.isKey) {
    // Of an hour that comes twice either one.
    return void writer.text(`pg_catalog.timezone(${zone}, ${quotedName}) = `).literal(cell);
  }
  writer.text(quotedName).text(hasEquality ? `${castForEquality(column.target)} ${equality} ` : "::text = ");
  value(layout, writer, column, cell);
  // Against regclass and its kind the server would take an untyped literal for an oid.
  if (hasEquality && isShownByPath) writer.text(`::${baseType}`);
}

/** A cell as a value of the target's column. */
function value(layout: Layout, writer: StatementWriter, column: LayoutColumn, cell: Cell): void {
  const zone = cell === null ? null : shownZone(layout, column, "target");
  if (zone === null) writer.literal(cell);
  else writer.text(`pg_catalog.timezone(${zone}, `).literal(cell).text("::pg_catalog.timestamp)");
}

/** Puts a statement together from text and values. */
class StatementWriter {
  readonly #pieces: Uint8Array[] = [];

  text(text: string): this {
    return text === "" ? this : this.raw(encoder.encode(text));
  }

  raw(bytes: Uint8Array): this {
    this.#pieces.push(bytes);
    return this;
  }

  /** `null`, `'…'`, or `E'…'` where a backslash is inside; control characters as they are. */
  literal(cell: Cell): this {
    if (cell === null) return this.text("null");
    const hasBackslash = cell.includes(BACKSLASH);
    if (!hasBackslash && !cell.includes(QUOTE)) return this.text("'").raw(cell).text("'");
    const escaped = new Uint8Array(2 * cell.length);
    let size = 0;
    for (const byte of cell) {
      if (byte === QUOTE || byte === BACKSLASH) escaped[size++] = byte;
      escaped[size++] = byte;
    }
    return this.text(hasBackslash ? "E'" : "'").raw(escaped.subarray(0, size)).text("'");
  }

  done(): Uint8Array {
    const bytes = new Uint8Array(this.#pieces.reduce((size, piece) => size + piece.length, 0));
    let at = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }
}
