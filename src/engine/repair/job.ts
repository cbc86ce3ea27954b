// Which tables a run is about, what becomes of each, and what is said of it.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { EXIT, messageOf, messageWithDetail, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Pidfile } from "../../base/pidfile.ts";
import type { Queryable } from "../../db/queryable.ts";
import { getTableList } from "../../queue/londiste.ts";
import { matchNames } from "../nodes/names.ts";
import { userTables } from "../nodes/structure.ts";
import type { Pair, Replication } from "./connections.ts";
import { fileName, lockFile, UNDO_HEAD } from "./files.ts";
import { fixEnd, fixPreamble, reversed } from "./fix.ts";
import type { Layout } from "./layout.ts";
import { EMPTY_REPORT, type Sample, type TableReport } from "./report.ts";
import type { ResumeFile } from "./resume.ts";
import { clearScript, keepOlder, Script, type ScriptSizes } from "./script.ts";
import { checkLag } from "./sync.ts";
import { type Checkpoint, runTable, type TableNames, type TableOptions, type TableSink } from "./table.ts";
import type { UniqueRule } from "./unique_rules.ts";
import type { Cell, Difference } from "./walk.ts";

/** Sessions for looking into the catalogues and the queue. */
export interface Catalogs {
  readonly source: Queryable;
  readonly target: Queryable;
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
  /** Removed when all tables are done. */
  readonly resume: ResumeFile | null;
  /** Calls `listener` when the process leaves at once. */
  onLeave(listener: () => void): void;
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
  try {
    return await runAll(pair, catalogs, chosen, options);
  } finally {
    options.resume?.close();
  }
}

async function runAll(
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
  const underWay = new Set<ReportSink>();
  const stop = () => {
    const undoFiles = [...underWay].flatMap((sink) => {
      sink.giveUp();
      return sink.undoFile ?? [];
    });
    sayWhatIsLeft(options, [...[...reports.values()].flatMap(({ undoFile }) => undoFile ?? []), ...undoFiles]);
  };
  options.onLeave(stop);
  let stopped: unknown = null;
  const work = async () => {
    for (let names = queue.shift(); names !== undefined && !signal.aborted; names = queue.shift()) {
      const done = resume?.doneTable(names.table);
      if (done !== undefined) log.info(`${names.table}: done before, by --resume`);
      const sink = new ReportSink(names.table, options);
      underWay.add(sink);
      const report = done ?? await reportTable(pair, catalogs, names, options, sink).catch((error) => {
        stopped ??= error;
        return null;
      });
      if (report !== null) underWay.delete(sink);
      if (report === null) return;
      reports.set(names.table, report);
      if (done === undefined && report.outcome !== "failed") resume?.finished(report);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(options.jobs, queue.length)) }, work));
  if (stopped !== null || signal.aborted) {
    stop();
    throw stopped ?? signal.reason;
  }
  resume?.remove();
  // With several at a time they end in any order.
  return [...chosen.reports, ...chosen.tables.map(({ table }) => reports.get(table)!)];
}

/** The last line of a run that was stopped. */
function sayWhatIsLeft({ log, resume, isApplying, fixes }: RunOptions, undoFiles: readonly string[]): void {
  if (resume?.isWorthKeeping) log.info(`Stopped: the same command goes on from "${resume.path}"`);
  else if (fixes === null || !fixes.isWritten) log.info("Stopped: nothing is left behind");
  else if (!isApplying) log.info("Stopped: of tables that were not finished no files are left");
  else if (undoFiles.length === 0) log.info("Stopped: nothing was changed");
  else log.info(`Stopped: what was changed stays, and is taken back by ${undoFiles.join(", ")}`);
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
  sink: ReportSink,
): Promise<TableReport> {
  const { log } = options;
  const startMs = performance.now();
  try {
    sink.open();
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
  #samples: Sample[] = [];
  #lock: Pidfile | null = null;
  #fix: Script | null = null;
  #undo: Script | null = null;
  /** Where statements that are printed in the end wait for that. */
  #scratch: string | null = null;
  #marked: { samples: number; undo: ScriptSizes; unfixable: number } = { samples: 0, undo: [], unfixable: 0 };
  /** Rows that differ only in columns that the server computes. */
  unfixableCount = 0;
  undoFile: string | null = null;

  constructor(table: string, options: RunOptions) {
    this.#table = table;
    this.#options = options;
  }

  /** Before anything else is done: the table's files are of this run alone. */
  open(): void {
    const { fixes, resume, log } = this.#options;
    if (!fixes?.isWritten) return;
    this.#lock = lockFile(join(fixes.dir, fileName("fix", this.#table)), `table ${this.#table}`, log);
    if (!resume?.hasBegun(this.#table)) this.#clear(fixes.dir);
  }

  #clear(dir: string): void {
    const path = join(dir, fileName("fix", this.#table));
    if (clearScript(dir, fileName("fix", this.#table))) this.#options.log.info(`Removed ${path} of an earlier run`);
    // What was applied before, here or by hand, can only be taken back with the file of then.
    keepOlder(dir, fileName("undo", this.#table));
  }

  get isFixing(): boolean {
    return this.#options.fixes !== null;
  }

  begin(layout: Layout, rules: readonly UniqueRule[]) {
    this.#layout = layout;
    const { fixes, isApplying, resume, log } = this.#options;
    const progress = resume?.progressOf(this.#table, layout) ?? null;
    if (isApplying && layout.target.isCaptured) {
      log.warning(
        `${this.#table}: triggers do not fire for what is mended, those for queues neither: others hear nothing`,
      );
    }
    const [preamble, end] = [fixPreamble(layout), fixEnd(layout)];
    if (fixes?.isWritten) {
      const [fixName, undoName] = [fileName("fix", this.#table), fileName("undo", this.#table)];
      if (!isApplying) this.#fix = new Script(fixes.dir, fixName, { preamble, end, layout, rules });
      const undoHead = UNDO_HEAD[isApplying ? "applied" : "fixFile"] + undoPreamble(layout);
      this.#undo = new Script(fixes.dir, undoName, { preamble: undoHead + preamble, end, layout, rules });
      if (progress === null) {
        if (resume?.hasBegun(this.#table)) this.#clear(fixes.dir);
      } else {
        this.#fix?.resume(progress.fixSizes);
        this.#undo.resume(progress.undoSizes);
      }
    } else if (fixes !== null) {
      this.#scratch = Deno.makeTempDirSync({ prefix: "skyq-" });
      this.#fix = new Script(this.#scratch, "fix", { preamble, end, layout, rules });
    }
    return progress?.checkpoint ?? null;
  }

  difference(difference: Difference): void {
    const layout = this.#layout!;
    this.#sample(difference);
    if (this.#options.fixes === null) return;
    const undo = reversed(layout, difference);
    const isFixable = this.#fix?.write(difference) ?? true;
    if (!(this.#undo?.write(undo) ?? true) || !isFixable) this.unfixableCount++;
  }

  refused(difference: Difference): void {
    this.#sample(difference);
  }

  #sample({ kind, key, source, target }: Difference): void {
    if (this.#samples.length >= this.#options.sampleCount) return;
    const text = (cells: readonly Cell[]) => cells.map(sampleText);
    this.#samples.push({ kind, key: text(key), source: source && text(source), target: target && text(target) });
  }

  mark(): void {
    this.#marked = {
      samples: this.#samples.length,
      undo: this.#undo?.flush() ?? [],
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
        fixSizes: this.#fix?.flush() ?? [],
        undoSizes: this.#undo?.flush() ?? [],
      });
  }

  finish(): { fixFile: string | null; undoFile: string | null } {
    let fixFile = this.#fix?.finish() ?? null;
    if (this.#scratch !== null) {
      if (fixFile !== null) printFile(fixFile, this.#options.fixes!.print);
      fixFile = null;
      this.#dropScratch();
    }
    this.undoFile = this.#undo?.finish() ?? null;
    this.#lock?.release();
    return { fixFile, undoFile: this.undoFile };
  }

  /** The table was not read to its end. Safe to call twice. */
  giveUp(): void {
    const isKept = this.#options.resume?.hasBegun(this.#table) ?? false;
    this.#fix?.giveUp({ isKept });
    // What has been applied can be taken back, whatever became of the rest.
    if (this.#options.isApplying && !isKept) this.#keepUndo();
    else this.#undo?.giveUp({ isKept });
    this.#fix = this.#undo = null;
    this.#dropScratch();
    this.#lock?.release();
  }

  #dropScratch(): void {
    if (this.#scratch !== null) Deno.removeSync(this.#scratch, { recursive: true });
    this.#scratch = null;
  }

  #keepUndo(): void {
    if (this.#undo === null) return;
    try {
      this.undoFile = this.#undo.finish();
    } catch (error) {
      // What is on the disk stays there; the next run keeps it.
      this.#options.log.error(messageOf(error));
    }
  }

  get unfixableNote(): string | null {
    return this.unfixableCount === 0 || this.#options.fixes === null
      ? null
      : `${this.unfixableCount} differ only in columns that the server computes`;
  }

  samples(): { columns: string[]; keySize: number; samples: Sample[] } {
    const layout = this.#layout;
    if (layout === null) return { columns: [], keySize: 0, samples: [] };
    return {
      columns: layout.columns.map(({ name }) => name),
      keySize: layout.key.length,
      samples: this.#samples,
    };
  }
}

const lossy = new TextDecoder();
/** Larger values are sampled by their beginning, and a hash of the whole: samples are in memory until the end. */
const SAMPLE_BYTES_MAX = 4 << 10;
const SAMPLE_BEGIN = 300;

function sampleText(cell: Cell): string | null {
  if (cell === null || cell.length <= SAMPLE_BYTES_MAX) return cell && lossy.decode(cell);
  const begin = lossy.decode(cell.subarray(0, SAMPLE_BEGIN)).replace(/\uFFFD+$/, "");
  const hash = createHash("md5").update(cell).digest("hex");
  return `${begin}… (${cell.length.toLocaleString("en-US")} bytes, md5 ${hash})`;
}

function printFile(path: string, print: (piece: Uint8Array) => void): void {
  using file = Deno.openSync(path);
  const piece = new Uint8Array(64 << 10);
  for (let size = file.readSync(piece); size !== null; size = file.readSync(piece)) print(piece.slice(0, size));
}

/** What an undo file cannot bring back. */
function undoPreamble({ leftOut }: Layout): string {
  // A name may hold a line feed.
  return leftOut.length === 0
    ? ""
    : `-- Rows that come back have no values in ${leftOut.join(", ").replace(/\p{C}/gu, "?")}.\n`;
}
