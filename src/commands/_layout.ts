import type { Output } from "../cli/output.ts";

/**
 * The originals' layout of a list: a title, a headline, a line of dashes, the rows, an empty line; columns as wide as
 * their longest value, 15 at least. Without rows it prints nothing.
 */
export function printTitled(
  out: Output,
  title: string,
  columns: readonly string[],
  rows: readonly Readonly<Record<string, string>>[],
): void {
  if (rows.length === 0) return;
  const widths = columns.map((column) => Math.max(15, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]) =>
    out.line(cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd());
  out.line(title);
  line(columns);
  line(widths.map(() => "-".repeat(15)));
  for (const row of rows) line(columns.map((column) => row[column]!));
  out.line("");
}
