import { messageOf, SkyqError } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { COUNT_SQL, countTable } from "../engine/repair/count.ts";
import { runTables } from "../engine/repair/job.ts";
import { EMPTY_REPORT, type TableReport } from "../engine/repair/report.ts";
import { checkLag } from "../engine/repair/sync.ts";
import { type Prepared, resumeFile, SHARED_OPTIONS, type SharedOptions, withTables } from "./_compare.ts";

export const compare = defineCommand({
  name: "compare",
  summary: "Compare the rows of tables on both sides",
  details:
    "The provider's table is locked against writes for at most lock_timeout (10 s), until the subscriber has all of " +
    "it and both sides have a snapshot; the reading goes on without a lock. With --online there is none at all.\n\n" +
    "Exit status 0: all tables are equal, each read to its end; 3: there are differences; 4: a table is not in sync yet, or rows kept changing; " +
    "5: the lock, or a subscriber that is up to date, was not obtained in time; 1: anything else.",
  examples: [
    "skyq compare conf.ini",
    "skyq compare conf.ini orders 'app.*' --online --html=report.html",
    'skyq compare --source="host=db1 dbname=shop" --target="host=db2 dbname=shop" orders',
  ],
  config: "pair",
  configUnless: "source",
  args: { name: "TABLE", many: true, help: "table, `schema.table`, or a glob such as `app.*`; none: all subscribed" },
  options: {
    countOnly: { kind: "flag", help: "compare the number of rows only" },
    where: { kind: "string", aliases: ["repair-where"], value: "COND", help: "rows to compare, as an SQL condition" },
    ...SHARED_OPTIONS,
  },
  run(ctx, options, names) {
    const sql = options.countOnly ? COUNT_SQL : ctx.config.get("compare_sql");
    if (sql !== null && options.online) {
      throw new SkyqError(
        "usage",
        "Cannot count with --online: without a lock both sides are never at the same moment",
      );
    }
    if (sql !== null) refuseForCounting(options);
    return withTables(ctx, options, names, { where: options.where, isApplying: false }, async (prepared) => {
      if (sql !== null) {
        return await countAll(prepared, sql, options.countOnly ? null : ctx.config.get("compare_fmt"));
      }
      const resume = resumeFile(ctx, options, prepared, { where: options.where });
      return await runTables(prepared.pair, prepared.catalogs, prepared.chosen, {
        ...prepared.options,
        fixes: null,
        resume,
        sampleCount: SAMPLE_COUNT,
      });
    });
  },
});

const SAMPLE_COUNT = 25;

/** @throws {SkyqError} `usage` for what would have no effect */
function refuseForCounting(options: SharedOptions): void {
  const named = [
    ["resume", options.resume !== null],
    ["max-rate", options.maxRate !== null],
    ["max-lag", options.maxLag !== null],
    ["jobs", options.jobs !== 1],
    ["method", options.method !== "auto"],
    ["sort", options.sort !== "server"],
  ].find(([, isGiven]) => isGiven);
  if (named === undefined) return;
  throw new SkyqError("usage", `Cannot take --${named[0]} where rows are only counted`, {
    hint: "It is for comparing rows: leave --count-only, or compare_sql of the config, out.",
  });
}

async function countAll(
  { pair, catalogs, chosen, options }: Prepared,
  sql: string,
  format: string | null,
): Promise<TableReport[]> {
  if (pair.replication !== null) await checkLag(catalogs.source, pair.replication, options);
  const reports = [...chosen.reports];
  for (const names of chosen.tables) {
    options.signal.throwIfAborted();
    const { table } = names;
    const startMs = performance.now();
    try {
      const { source, target, rows } = await countTable(pair, catalogs, names, { ...options, sql, format });
      const isEqual = source === target;
      if (!isEqual) options.log.warning(`${table}: Results do not match!`);
      reports.push({
        ...EMPTY_REPORT,
        table,
        outcome: isEqual ? "equal" : "different",
        ...(rows === null
          ? { reason: isEqual ? source : `${source}; ${target}` }
          : { sourceRows: rows.source, targetRows: rows.target }),
        method: "count",
        seconds: (performance.now() - startMs) / 1000,
      });
    } catch (error) {
      if (!(error instanceof SkyqError) || error.fault === "stopped") throw error;
      options.log.error(`${table}: ${error.message}${error.hint === undefined ? "" : `\nhint: ${error.hint}`}`);
      reports.push({ ...EMPTY_REPORT, table, outcome: "failed", reason: messageOf(error), exit: error.exit });
    }
  }
  return reports;
}
