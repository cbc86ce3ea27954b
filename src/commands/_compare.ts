// What compare and repair share: which databases, which tables, how it is read, and what is said in the end.

import { SkyqError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { CommandContext, OptionSpecs } from "../cli/command.ts";
import { writeStderr } from "../cli/output.ts";
import { shortStatement } from "../db/errors.ts";
import type { Queryable } from "../db/queryable.ts";
import { parseTarget, type Target } from "../db/target.ts";
import { WireConnection } from "../db/wire/connection.ts";
import { requireLeaf, requireRoot } from "../engine/nodes/node.ts";
import type { Pair } from "../engine/repair/connections.ts";
import { type ExternalSort, parseSortMemory } from "../engine/repair/external_sort.ts";
import { checkWritable, WholeFile } from "../engine/repair/files.ts";
import { htmlReport } from "../engine/repair/html.ts";
import { type Catalogs, type Chosen, namedTables, replicatedTables } from "../engine/repair/job.ts";
import { Pace, parseRate, type Rate } from "../engine/repair/pace.ts";
import { ResumeFile } from "../engine/repair/resume.ts";
import { exitOf, REPORT_COLUMNS, reportJson, reportRow, type TableReport } from "../engine/repair/report.ts";
import { bothOpened, lagSeconds } from "../engine/repair/sync.ts";
import type { TableOptions } from "../engine/repair/table.ts";
import { providerTarget, subscriberTarget, toMs } from "./_targets.ts";

/** Options of both commands. */
export const SHARED_OPTIONS = {
  all: { kind: "flag", help: "all tables: the default for subscribed ones, has to be said with --source and --target" },
  source: {
    kind: "string",
    value: "DSN",
    help: "with --target: tables of any two databases, no config, no queue, no lock",
  },
  target: { kind: "string", value: "DSN", help: "the other database" },
  online: { kind: "flag", help: "no lock: rows that differ are looked at again, with the queue, until it is certain" },
  force: { kind: "flag", help: "begin although the subscriber is far behind" },
  ignoreColumns: { kind: "list", help: "columns to leave out" },
  method: {
    kind: "string",
    default: "auto",
    choices: ["auto", "stream", "hash"],
    help: "read all rows, or compare hashes of key ranges first; auto tries what is faster",
  },
  sort: {
    kind: "string",
    default: "server",
    choices: ["server", "local"],
    help: "who sorts keys that no index has in byte order: the servers, or this machine on its disk",
  },
  sortDir: { kind: "string", value: "DIR", help: "where --sort=local may fill a file (.)" },
  sortBufsize: { kind: "string", value: "SIZE", help: "memory of --sort=local per table: 64MB (16MB)" },
  jobs: { kind: "number", default: 1, min: 1, help: "tables at a time" },
  maxRate: {
    kind: "string",
    value: "RATE",
    help: "read at most so much a second from both sides together: 20MB, 50000rows; hashing is not counted",
  },
  maxLag: { kind: "number", min: 0, value: "SECONDS", help: "pause while the subscriber is further behind" },
  resume: { kind: "string", value: "FILE", help: "remember the progress there; the same command goes on from it" },
  json: { kind: "flag", help: "one JSON object per table" },
  html: { kind: "string", value: "FILE", help: "write a report with samples of the differences" },
} as const satisfies OptionSpecs;

export interface SharedOptions {
  readonly all: boolean;
  readonly source: string | null;
  readonly target: string | null;
  readonly online: boolean;
  readonly force: boolean;
  readonly ignoreColumns: readonly string[];
  readonly method: string;
  readonly sort: string;
  readonly sortDir: string | null;
  readonly sortBufsize: string | null;
  readonly jobs: number;
  readonly maxRate: string | null;
  readonly maxLag: number | null;
  readonly resume: string | null;
  readonly json: boolean;
  readonly html: string | null;
}

/** The manual's limit for the lock, where the config sets none. */
const LOCK_LIMIT_S = 10;

export interface Prepared {
  readonly pair: Pair;
  readonly catalogs: Catalogs;
  readonly chosen: Chosen;
  readonly options: TableOptions & {
    readonly force: boolean;
    readonly jobs: number;
    readonly onLeave: CommandContext["onLeave"];
  };
}

interface WorkAbout {
  readonly where: string | null;
  readonly isApplying: boolean;
  /** Reports are not printed. */
  readonly isQuiet?: boolean;
}

/**
 * Connects, chooses the tables, runs `work` and prints its reports.
 * @returns the exit status
 */
export async function withTables(
  ctx: CommandContext,
  options: SharedOptions,
  names: readonly string[],
  about: WorkAbout,
  work: (prepared: Prepared) => Promise<readonly TableReport[]>,
): Promise<number> {
  const rate = options.maxRate === null ? null : parseRate(options.maxRate);
  const localSort = localSortOf(options);
  const pair = pairOf(ctx, options);
  const page = options.html === null ? null : new WholeFile(options.html);
  ctx.onLeave(() => page?.giveUp());
  try {
    return await withReports(ctx, { ...options, rate, localSort, pair, page }, names, about, work);
  } finally {
    page?.giveUp();
  }
}

async function withReports(
  ctx: CommandContext,
  options: SharedOptions & { rate: Rate | null; localSort: ExternalSort | null; pair: Pair; page: WholeFile | null },
  names: readonly string[],
  { where, isApplying, isQuiet = false }: WorkAbout,
  work: (prepared: Prepared) => Promise<readonly TableReport[]>,
): Promise<number> {
  const { rate, localSort, pair, page } = options;
  const startedAt = new Date();
  return await withBoth(ctx, pair, async (catalogs) => {
    const chosen = await choose(pair, catalogs, options, names, ctx.log);
    const show = terminalLine();
    const log = show === null ? ctx.log : loggedAbove(ctx.log, show);
    const lag = options.maxLag === null || pair.replication === null
      ? null
      : { limitS: options.maxLag, lagS: () => lagSeconds(catalogs.source, pair.replication!) };
    const reports = await work({
      pair,
      catalogs,
      chosen,
      options: {
        where,
        isApplying,
        ignoreColumns: options.ignoreColumns,
        method: options.method as TableOptions["method"],
        localSort,
        isOnline: options.online,
        force: options.force,
        jobs: options.jobs,
        lockLimitMs: toMs(ctx.config.get("lock_timeout") || LOCK_LIMIT_S),
        statementTimeoutMs: toMs(ctx.config.get("statement_timeout")),
        bytesPerSecondMax: bytesPerSecond(rate),
        pace: new Pace({ rate, lag, log, signal: ctx.signal, show }),
        log,
        signal: ctx.signal,
        onLeave: ctx.onLeave,
      },
    });
    show?.("");
    // What was printed so far is SQL then.
    if (!isQuiet) print(ctx, reports, options);
    page?.write(htmlReport({
      command: ctx.commandName,
      source: pair.source.display,
      target: pair.target.display,
      startedAt,
      seconds: (Date.now() - startedAt.getTime()) / 1000,
    }, reports));
    return exitOf(reports);
  });
}

function localSortOf({ sort, sortDir, sortBufsize }: SharedOptions): ExternalSort | null {
  const memoryBytes = sortBufsize === null ? undefined : parseSortMemory(sortBufsize);
  if (sort === "server") {
    const named = sortBufsize !== null ? "--sort-bufsize" : sortDir !== null ? "--sort-dir" : null;
    if (named === null) return null;
    throw new SkyqError("usage", `Cannot take ${named}: it is for --sort=local`);
  }
  const directory = sortDir ?? ".";
  checkWritable(directory);
  return { directory, memoryBytes };
}

function pairOf(ctx: CommandContext, options: SharedOptions): Pair {
  if (options.source === null && options.target === null) {
    const replication = { queue: ctx.config.need("pgq_queue_name"), consumer: ctx.config.need("pgq_consumer_id") };
    return { source: providerTarget(ctx.config), target: subscriberTarget(ctx.config), replication };
  }
  if (options.source === null || options.target === null) {
    throw new SkyqError("usage", "Cannot compare: --source and --target go together");
  }
  for (const name of ["online", "force", "maxLag"] as const) {
    if (options[name] !== null && options[name] !== false) {
      const shown = name === "maxLag" ? "max-lag" : name;
      throw new SkyqError("usage", `Cannot take --${shown} with --source and --target: there is no queue to look at`);
    }
  }
  return { source: parseTarget(options.source), target: parseTarget(options.target), replication: null };
}

/** Sessions of the data path's kind, as all others here: one library less in memory. */
async function withBoth<T>(ctx: CommandContext, pair: Pair, work: (catalogs: Catalogs) => Promise<T>): Promise<T> {
  const [source, target] = await bothOpened(openCatalog(ctx, pair.source), openCatalog(ctx, pair.target));
  const logged = (connection: WireConnection): Queryable =>
    ctx.verbosity < 2 ? connection : {
      query(text, params) {
        ctx.log.debug(shortStatement(text));
        return connection.query(text, params);
      },
    };
  try {
    return await work({ source: logged(source), target: logged(target) });
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
}

function openCatalog(ctx: CommandContext, target: Target): Promise<WireConnection> {
  return WireConnection.connect(target, {
    applicationName: `skyq ${ctx.commandName}`,
    lockTimeoutMs: toMs(ctx.config.get("lock_timeout")),
    statementTimeoutMs: toMs(ctx.config.get("statement_timeout")),
    onNotice: (notice) => ctx.log.debug(notice.message),
  });
}

async function choose(
  pair: Pair,
  catalogs: Catalogs,
  options: SharedOptions,
  names: readonly string[],
  log: Logger,
): Promise<Chosen> {
  if (options.all && names.length > 0) throw new SkyqError("usage", "Cannot take --all and names of tables together");
  if (pair.replication === null) return await namedTables(catalogs, { names, all: options.all }, log);
  await requireRoot(catalogs.source, pair.replication.queue);
  await requireLeaf(catalogs.target, pair.replication.queue);
  return await replicatedTables(catalogs, pair.replication, names, log);
}

function bytesPerSecond(rate: Rate | null): number | null {
  return rate?.unit === "bytes" ? rate.perSecond : null;
}

function print(ctx: CommandContext, reports: readonly TableReport[], { json }: SharedOptions): void {
  if (json) { for (const report of reports) ctx.out.json(reportJson(report)); }
  else ctx.out.table(REPORT_COLUMNS, reports.map(reportRow));
}

/** The file of --resume, null without that option. */
export function resumeFile(
  ctx: CommandContext,
  { resume, ignoreColumns, source, target }: SharedOptions,
  { pair, chosen }: Prepared,
  more: Record<string, unknown>,
): ResumeFile | null {
  if (resume === null) return null;
  const file = ResumeFile.open(resume, {
    command: ctx.commandName,
    source: source ?? pair.source.display,
    target: target ?? pair.target.display,
    replication: pair.replication,
    tables: chosen.tables.map(({ table }) => table),
    ignoreColumns,
    ...more,
  }, ctx.log);
  ctx.onLeave(() => file.close());
  return file;
}

const CLEAR_LINE = "\r\x1b[2K";

/** A line at the bottom of a terminal that is written again and again; null when stderr is none. */
function terminalLine(): ((line: string) => void) | null {
  if (!Deno.stderr.isTerminal()) return null;
  return (line) => {
    writeStderr(CLEAR_LINE + line.slice(0, Math.max(0, terminalColumns() - 1)));
  };
}

function terminalColumns(): number {
  try {
    // Some terminals call themselves 0 columns wide.
    return Deno.consoleSize().columns || COLUMNS;
  } catch {
    return COLUMNS; // stderr is a terminal that cannot be asked
  }
}

const COLUMNS = 80;

/** The log, its lines above the terminal's line. */
function loggedAbove(log: Logger, show: (line: string) => void): Logger {
  const above = <A extends unknown[]>(write: (...args: A) => void) => (...args: A) => {
    show("");
    write(...args);
  };
  return {
    debug: above((message: string) => log.debug(message)),
    info: above((message: string) => log.info(message)),
    warning: above((message: string) => log.warning(message)),
    error: above((message: string) => log.error(message)),
    critical: above((message: string) => log.critical(message)),
    stat: above((values: Record<string, number | string>) => log.stat(values)),
  };
}
