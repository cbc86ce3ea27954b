// Which tables a run is about, what becomes of each, and what is said of it.

import { EXIT, messageOf, messageWithDetail, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { getTableList } from "../../queue/londiste.ts";
import { matchNames } from "../nodes/names.ts";
import { userTables } from "../nodes/structure.ts";
import type { Pair, Replication } from "./connections.ts";
import { StatementFile } from "./files.ts";
import { fixPreamble, fixStatement, undoStatement } from "./fix.ts";
import type { Layout } from "./layout.ts";
import { EMPTY_REPORT, type Sample, type TableReport } from "./report.ts";
import type { ResumeFile } from "./resume.ts";
import { checkLag } from "./sync.ts";
import { type Checkpoint, runTable, type TableNames, type TableOptions, type TableSink } from "./table.ts";
import type { Cell, Difference } from "./walk.ts";
import { fileName, keepOlder } from "./files.ts";

/** Sessions for looking into the catalogues and the queue. */
export interface Catalogs {
  readonly source: SqlConnection;
  readonly target: SqlConnection;
}

export interface Chosen {
  readonly tables: readonly TableNames[];
  /** Tables that were asked for and cannot be done. */
  readonly reports: readonly TableReport[];
}

/**
 * Finds the tables of a replicated pair that are to be compared.
 * @param names as typed; none: all that are subscribed
 */
export async function replicatedTables(
  { source, target }: { source: Queryable; target: Queryable },
  { queue }: Replication,
  names: readonly string[],
  log: Logger,
): Promise<Chosen> {
  const here = new Map(
    (await getTableList(target, queue)).filter((row) => row.local).map((row) => [row.table_name, row]),
  );
  const there = new Map(
    (await getTableList(source, queue)).filter((row) => row.local).map((row) => [row.table_name, row]),
  );
  const known = [...here.keys()];
  const reports: TableReport[] = [];
  const wanted = new Set<string>();
  for (const typed of names) {
    const found = matchNames(typed, known);
    for (const table of found) wanted.add(table);
    if (found.length > 0) continue;
    log.warning(`Table not subscribed: ${typed}`);
    reports.push(failedReport(typed, "not subscribed"));
  }
  if (names.length === 0) { for (const table of known) wanted.add(table); }
  const tables: TableNames[] = [];
  for (const table of wanted) {
    const row = here.get(table)!;
    if (row.merge_state !== "ok") {
      log.info(`Table ${table} not synced yet, no point`);
      reports.push({
        ...EMPTY_REPORT,
        table,
        outcome: "skipped",
        reason: `not synced yet: ${row.merge_state ?? "NEW"}`,
      });
      continue;
    }
    tables.push({ table, source: there.get(table)?.dest_table ?? table, target: row.dest_table ?? table });
  }
  return { tables, reports };
}

/**
 * Finds tables by name where nothing is known of a queue.
 * @param names as typed, names or globs of the source; with `all` every table that either side has
 * @throws {SkyqError} `usage` when there is neither
 */
export async function namedTables(
  { source, target }: { source: Queryable; target: Queryable },
  { names, all }: { names: readonly string[]; all: boolean },
  log: Logger,
): Promise<Chosen> {
  const here = await userTables(source);
  const there = await userTables(target);
  const known = [...new Set([...here, ...there])];
  const reports: TableReport[] = [];
  const wanted = new Set(all ? known : []);
  for (const typed of names) {
    const found = matchNames(typed, known);
    for (const table of found) wanted.add(table);
    if (found.length > 0) continue;
    log.error(`No table matches ${typed}`);
    if (typed.endsWith(".ini")) log.info("hint: With --source and --target there is no config file: leave it out.");
    reports.push(failedReport(typed, "no such table"));
  }
  if (wanted.size === 0 && reports.length === 0) {
    throw new SkyqError("usage", "Cannot compare: no table was named", { hint: "Name tables or globs, or use --all." });
  }
  return { tables: [...wanted].map((table) => ({ table, source: table, target: table })), reports };
}

export interface RunOptions extends TableOptions {
  readonly force: boolean;
  /** Tables at a time. */
  readonly jobs: number;
  /** Where fixes go; null: only compared. */
  readonly fixes: {
    readonly dir: string;
    /** Files are written; else fixes go to `print`. */
    readonly isWritten: boolean;
    print(statement: Uint8Array): void;
  } | null;
  readonly resume: ResumeFile | null;
  /** How many differences of a table are kept for the report. */
  readonly sampleCount: number;
}

/** Does all tables, some at a time. @returns a report for each, in the order of `chosen` */
export async function runTables(
  pair: Pair,
  catalogs: Catalogs,
  chosen: Chosen,
  options: RunOptions,
): Promise<TableReport[]> {
  const { log, signal, resume } = options;
  if (pair.replication !== null && chosen.tables.length > 0) {
    await checkLag(catalogs.source, pair.replication, { force: options.force || options.isOnline });
  }
  const reports = new Map<string, TableReport>();
  const queue = [...chosen.tables];
  let stopped: unknown = null;
  const work = async () => {
    for (let names = queue.shift(); names !== undefined && !signal.aborted; names = queue.shift()) {
      const done = resume?.doneTable(names.table);
      if (done !== undefined) log.info(`${names.table}: done before, by --resume`);
      const report = done ?? await reportTable(pair, catalogs, names, options).catch((error) => {
        stopped ??= error;
        return null;
      });
      if (report === null) return;
      reports.set(names.table, report);
      if (done === undefined && report.outcome !== "failed") resume?.finished(report);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(options.jobs, queue.length)) }, work));
  if (stopped !== null) throw stopped;
  signal.throwIfAborted();
  // With several at a time they end in any order.
  return [...chosen.reports, ...chosen.tables.map(({ table }) => reports.get(table)!)];
}

function failedReport(table: string, reason: string, exit: number = EXIT.failed): TableReport {
  return { ...EMPTY_REPORT, table, outcome: "failed", reason, exit };
}

/** @throws only what ends the run: it was asked to stop, or there is a bug */
async function reportTable(
  pair: Pair,
  catalogs: Catalogs,
  names: TableNames,
  options: RunOptions,
): Promise<TableReport> {
  const { log } = options;
  const startMs = performance.now();
  const sink = new ReportSink(names.table, options);
  try {
    const result = await runTable(pair, catalogs, names, options, sink);
    const { fixFile, undoFile } = sink.finish();
    const differenceCount = result.inserts + result.updates + result.deletes;
    log.info(
      `finished ${names.table}: src: ${result.sourceRows} rows, dst: ${result.targetRows} rows, missed: ` +
        `${result.inserts} inserts, ${result.updates} updates, ${result.deletes} deletes`,
    );
    const isLeft = result.unsettled > 0 || result.refused > 0;
    if (options.fixes === null && differenceCount > 0) log.warning(`${names.table}: Results do not match!`);
    if (result.unsettled > 0) {
      log.warning(
        `${names.table}: ${result.unsettled} rows left alone: they kept changing, nothing certain is known of them`,
      );
    }
    for (const refusal of result.refusals) log.error(`${names.table}: ${refusal}`);
    if (options.isApplying && differenceCount > 0) log.info(`${names.table}: ${result.applied} rows fixed`);
    const isFixed = options.isApplying && result.applied >= differenceCount - sink.unfixableCount &&
      sink.unfixableCount === 0;
    const isFailed = result.refused > 0;
    return {
      ...EMPTY_REPORT,
      ...result,
      table: names.table,
      outcome: isFailed
        ? "failed"
        : differenceCount === 0 && !isLeft
        ? "equal"
        : isFixed && !isLeft
        ? "repaired"
        : differenceCount === 0
        ? "unsettled"
        : "different",
      reason: isFailed ? result.refusals[0] ?? null : sink.unfixableNote,
      exit: isFailed ? EXIT.failed : EXIT.ok,
      seconds: (performance.now() - startMs) / 1000,
      fixFile,
      undoFile,
      ...sink.samples(),
    };
  } catch (error) {
    sink.giveUp();
    if (!(error instanceof SkyqError) || error.fault === "stopped") throw error;
    const where = /^Table /.test(error.message) ? "" : `${names.table}: `;
    log.error(`${where}${messageWithDetail(error)}${error.hint === undefined ? "" : `\nhint: ${error.hint}`}`);
    return {
      ...failedReport(names.table, messageOf(error), error.exit),
      seconds: (performance.now() - startMs) / 1000,
      undoFile: sink.undoFile,
      ...sink.samples(),
    };
  }
}

/** Keeps samples of what is found, and writes the files of repair. */
class ReportSink implements TableSink {
  readonly #table: string;
  readonly #options: RunOptions;
  #layout: Layout | null = null;
  #samples: Difference[] = [];
  #fix: StatementFile | null = null;
  #undo: StatementFile | null = null;
  /** Something was printed. */
  #isBegun = false;
  #marked = { samples: 0, undo: 0, unfixable: 0 };
  /** Rows that differ only in columns that the server computes. */
  unfixableCount = 0;
  undoFile: string | null = null;

  constructor(table: string, options: RunOptions) {
    this.#table = table;
    this.#options = options;
  }

  begin(layout: Layout) {
    this.#layout = layout;
    const { fixes, isApplying, resume } = this.#options;
    const progress = resume?.progressOf(this.#table, layout) ?? null;
    if (fixes?.isWritten) {
      const preamble = fixPreamble(layout);
      if (!isApplying) this.#fix = new StatementFile(fixes.dir, fileName("fix", this.#table), preamble);
      this.#undo = new StatementFile(fixes.dir, fileName("undo", this.#table), undoPreamble(layout) + preamble);
      if (progress === null) {
        this.#fix?.clear();
        // What was applied before, here or by hand, can only be taken back with the file of then.
        keepOlder(this.#undo.path);
      } else {
        this.#fix?.resume(progress.fixSize);
        this.#undo.resume(progress.undoSize);
      }
    }
    return progress?.checkpoint ?? null;
  }

  difference(difference: Difference): void {
    const layout = this.#layout!;
    if (this.#samples.length < this.#options.sampleCount) this.#samples.push(difference);
    const { fixes, isApplying } = this.#options;
    if (fixes === null) return;
    const fix = fixStatement(layout, difference);
    if (fix === null) {
      this.unfixableCount++;
      return;
    }
    if (!fixes.isWritten) {
      if (!this.#isBegun) fixes.print(new TextEncoder().encode(fixPreamble(layout)));
      this.#isBegun = true;
      fixes.print(fix);
    }
    if (!isApplying) this.#fix?.write(fix);
    const undo = undoStatement(layout, difference);
    if (undo !== null) this.#undo?.write(undo);
  }

  mark(): void {
    this.#marked = {
      samples: this.#samples.length,
      undo: this.#undo?.flush() ?? 0,
      unfixable: this.unfixableCount,
    };
  }

  beforeCommit(): void {
    // Fixes that cannot be taken back would be worse than a file that takes back some that were not made.
    this.#undo?.flush();
  }

  commitFailed(): void {
    this.#samples.length = this.#marked.samples;
    this.#undo?.truncate(this.#marked.undo);
    this.unfixableCount = this.#marked.unfixable;
  }

  get reached() {
    const { resume } = this.#options;
    if (resume === null) return undefined;
    return (checkpoint: Checkpoint) =>
      resume.reached(this.#table, this.#layout!, {
        checkpoint,
        fixSize: this.#fix?.flush() ?? 0,
        undoSize: this.#undo?.flush() ?? 0,
      });
  }

  finish(): { fixFile: string | null; undoFile: string | null } {
    return { fixFile: this.#fix?.finish() ?? null, undoFile: this.undoFile = this.#undo?.finish() ?? null };
  }

  /** The table was not read to its end. */
  giveUp(): void {
    const isKept = this.#options.resume !== null;
    this.#fix?.giveUp({ isKept });
    // What has been applied can be taken back, whatever became of the rest.
    if (this.#options.isApplying && !isKept) this.undoFile = this.#undo?.finish() ?? null;
    else this.#undo?.giveUp({ isKept });
  }

  get unfixableNote(): string | null {
    return this.unfixableCount === 0 || this.#options.fixes === null
      ? null
      : `${this.unfixableCount} differ only in columns that the server computes`;
  }

  samples(): { columns: string[]; keySize: number; samples: Sample[] } {
    const layout = this.#layout;
    if (layout === null) return { columns: [], keySize: 0, samples: [] };
    const text = (cells: readonly Cell[]) => cells.map((cell) => cell === null ? null : lossy.decode(cell));
    return {
      columns: layout.columns.map(({ name }) => name),
      keySize: layout.key.length,
      samples: this.#samples.map(({ kind, key, source, target }) => ({
        kind,
        key: text(key),
        source: source && text(source),
        target: target && text(target),
      })),
    };
  }
}

const lossy = new TextDecoder();

/** What an undo file cannot bring back. */
function undoPreamble({ targetOnly }: Layout): string {
  if (targetOnly.length === 0) return "";
  return `-- Rows that come back have no values in ${targetOnly.map((name) => JSON.stringify(name)).join(", ")}.\n`;
}
