// What a run has found, table by table.

import { EXIT } from "../../base/errors.ts";

/** `unsettled`: no difference that is certain, but rows of which nothing certain can be said. */
export type Outcome = "equal" | "different" | "repaired" | "unsettled" | "failed" | "skipped";

export interface Sample {
  readonly kind: "insert" | "update" | "delete";
  readonly key: readonly (string | null)[];
  /** Text by column as COPY shows it, null where the side has no such row. */
  readonly source: readonly (string | null)[] | null;
  readonly target: readonly (string | null)[] | null;
}

export interface TableReport {
  readonly table: string;
  readonly outcome: Outcome;
  /** Why it failed or was skipped. */
  readonly reason: string | null;
  /** Exit status of the failure. */
  readonly exit: number;
  readonly sourceRows: number | null;
  readonly targetRows: number | null;
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
  readonly applied: number;
  /** Rows of which nothing certain could be said, or that somebody changed before they were fixed. */
  readonly unsettled: number;
  /** Rows whose fix the server refused. */
  readonly refused: number;
  readonly method: string | null;
  readonly bytes: number;
  readonly seconds: number;
  readonly fixFile: string | null;
  readonly undoFile: string | null;
  readonly columns: readonly string[];
  readonly keySize: number;
  readonly samples: readonly Sample[];
}

export const EMPTY_REPORT = {
  reason: null,
  exit: EXIT.ok,
  sourceRows: null,
  targetRows: null,
  inserts: 0,
  updates: 0,
  deletes: 0,
  applied: 0,
  unsettled: 0,
  refused: 0,
  method: null,
  bytes: 0,
  seconds: 0,
  fixFile: null,
  undoFile: null,
  columns: [],
  keySize: 0,
  samples: [],
} as const satisfies Partial<TableReport>;

/**
 * The exit status of a run. A table that was not read to its end comes first: nothing is known of it. When all such
 * tables were just not obtained in time, the status says so; when there were no others but differences, that.
 */
export function exitOf(reports: readonly TableReport[]): number {
  const failed = reports.filter(({ outcome }) => outcome === "failed");
  if (failed.length > 0) {
    return failed.every(({ exit }) => exit === failed[0]!.exit) ? failed[0]!.exit : EXIT.failed;
  }
  if (reports.some(({ outcome }) => outcome === "different")) return EXIT.differences;
  return reports.some(({ outcome }) => outcome === "skipped" || outcome === "unsettled") ? EXIT.notInSync : EXIT.ok;
}

export const REPORT_COLUMNS = [
  "table",
  { key: "outcome", title: "result" },
  { key: "source_rows", title: "source rows" },
  { key: "target_rows", title: "target rows" },
  { key: "missing", title: "missing" },
  { key: "differing", title: "differing" },
  { key: "extra", title: "extra" },
  { key: "note", title: "" },
] as const;

/** Rows were counted, so nobody knows which of them differ. */
export function isCounted({ method }: TableReport): boolean {
  return method === "count";
}

/** A report as a row of the table for people. */
export function reportRow(report: TableReport): Record<string, unknown> {
  const areKnown = report.outcome !== "failed" && report.outcome !== "skipped" && !isCounted(report);
  return {
    table: report.table,
    outcome: report.outcome,
    source_rows: report.sourceRows,
    target_rows: report.targetRows,
    missing: areKnown ? report.inserts : null,
    differing: areKnown ? report.updates : null,
    extra: areKnown ? report.deletes : null,
    note: noteOf(report),
  };
}

function noteOf(report: TableReport): string {
  const notes: string[] = [];
  if (report.reason !== null) notes.push(report.reason);
  if (report.applied > 0) notes.push(`${report.applied} fixed`);
  if (report.unsettled > 0) notes.push(`${report.unsettled} left alone: they kept changing`);
  if (report.refused > 0) notes.push(`${report.refused} refused by the server`);
  if (report.fixFile !== null) notes.push(report.fixFile);
  return notes.join(", ");
}

/** A report as one object for programs. */
export function reportJson(report: TableReport): Record<string, unknown> {
  const areKnown = !isCounted(report);
  return {
    table: report.table,
    result: report.outcome,
    reason: report.reason,
    source_rows: report.sourceRows,
    target_rows: report.targetRows,
    missing: areKnown ? report.inserts : null,
    differing: areKnown ? report.updates : null,
    extra: areKnown ? report.deletes : null,
    applied: report.applied,
    unsettled: report.unsettled,
    refused: report.refused,
    method: report.method,
    bytes_read: report.bytes,
    seconds: Math.round(report.seconds * 1000) / 1000,
    fix_file: report.fixFile,
    undo_file: report.undoFile,
  };
}
