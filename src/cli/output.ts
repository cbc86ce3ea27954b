import { oneLine } from "../base/units.ts";

/** A column of a table: the row's key, and its title when that differs. */
export type Column = string | { readonly key: string; readonly title: string };

/** What a command writes to stdout: its data, nothing else. */
export interface Output {
  line(text: string): void;
  /**
   * Rows under a headline, numbers to the right, NULL as `-`; nothing at all when there are no rows. Each row is one
   * line, with `keepLines` as many as its values have. With `json` one JSON object per row instead, with the columns' keys.
   */
  table(
    columns: readonly Column[],
    rows: Iterable<Readonly<Record<string, unknown>>>,
    options?: { readonly json?: boolean; readonly keepLines?: boolean },
  ): void;
  /** One value as one line of JSON; a bigint becomes a number, or text where a number would lose digits. */
  json(value: unknown): void;
}

/** Whoever read our stdout went away (`| head`): no error, just nothing left to do. */
export class StdoutClosed extends Error {
  override name = "StdoutClosed";
}

/** @param write takes all of a text; replaced in tests */
export function createOutput(write: (text: string) => void = writeStdout): Output {
  return {
    line: (text) => write(`${text}\n`),
    json: (value) => write(`${toJson(value)}\n`),
    table(columns, rows, { json = false, keepLines = false } = {}) {
      const keys = columns.map((column) => typeof column === "string" ? column : column.key);
      if (json) {
        for (const row of rows) {
          write(`${toJson(Object.fromEntries(keys.map((key) => [key, row[key] ?? null])))}\n`);
        }
        return;
      }
      const titles = columns.map((column) => typeof column === "string" ? column : column.title);
      write(formatTable(titles, Array.from(rows, (row) => keys.map((key) => row[key])), keepLines));
    },
  };
}

function formatTable(titles: readonly string[], rows: readonly (readonly unknown[])[], keepLines = false): string {
  if (rows.length === 0) return "";
  const linesOf = (value: unknown) =>
    keepLines ? cellText(value).split(/\r?\n/).map(oneLine) : [oneLine(cellText(value))];
  const cells = rows.map((row) => row.map(linesOf));
  const widthOf = (lines: readonly string[]) => Math.max(...lines.map((line) => line.length));
  const heads = titles.map((title) => [oneLine(title)]);
  const widths = heads.map((head, column) => Math.max(widthOf(head), ...cells.map((row) => widthOf(row[column]!))));
  const isNumber = titles.map((_, column) =>
    rows.every((row) => row[column] == null || typeof row[column] === "number" || typeof row[column] === "bigint")
  );
  const format = (row: readonly (readonly string[])[]) => {
    const height = Math.max(...row.map((lines) => lines.length));
    let text = "";
    for (let at = 0; at < height; at++) {
      const line = row.map((lines, column) => {
        const part = lines[at] ?? "";
        const padded = isNumber[column] ? part.padStart(widths[column]!) : part.padEnd(widths[column]!);
        // As psql marks a value that goes on below.
        return padded + (at < lines.length - 1 ? "+ " : "  ");
      });
      text += line.join("").trimEnd() + "\n";
    }
    return text;
  };
  return format(heads) + format(widths.map((width) => ["-".repeat(width)])) + cells.map(format).join("");
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return "-";
  return typeof value === "object" ? toJson(value) : String(value);
}

function toJson(value: unknown): string {
  return JSON.stringify(value, (_, item) => {
    if (typeof item !== "bigint") return item;
    const number = Number(item);
    return Number.isSafeInteger(number) ? number : String(item);
  });
}

/** Writes all of `text`. @throws {StdoutClosed} */
export function writeStdout(text: string): void {
  writeAll(Deno.stdout, text);
}

/** Writes all of `text`, whether or not anybody listens. */
export function writeStderr(text: string): void {
  try {
    writeAll(Deno.stderr, text);
  } catch (error) {
    if (!(error instanceof StdoutClosed)) throw error;
  }
}

/** Writes all of `bytes`. @throws {StdoutClosed} */
export function writeStdoutBytes(bytes: Uint8Array): void {
  writeAllBytes(Deno.stdout, bytes);
}

const encoder = new TextEncoder();

function writeAll(target: { writeSync(bytes: Uint8Array): number }, text: string): void {
  writeAllBytes(target, encoder.encode(text));
}

function writeAllBytes(target: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  try {
    for (let offset = 0; offset < bytes.length;) offset += target.writeSync(bytes.subarray(offset));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) throw new StdoutClosed();
    throw error;
  }
}
