import { SkyqError } from "../base/errors.ts";
import { writeStdoutBytes } from "../cli/output.ts";
import { defineCommand } from "../cli/command.ts";
import { checkWritable } from "../engine/repair/files.ts";
import { runTables } from "../engine/repair/job.ts";
import { resumeFile, SHARED_OPTIONS, withTables } from "./_compare.ts";

export const repair = defineCommand({
  name: "repair",
  summary: "Find rows that differ, and write or apply the statements that mend the subscriber's",
  details:
    "Writes fix.SCHEMA.TABLE.sql for each table that differs, and undo.SCHEMA.TABLE.sql, which takes that back. With " +
    "--apply the rows are mended at once, some hundred in a transaction: each is looked at again in it, and left alone " +
    "when it has changed or a change is on its way to it. Triggers and foreign keys do not fire, nor for files " +
    "where the role that runs them may set session_replication_role. Rows that exchange unique values are mended in one " +
    "transaction.\n\n" +
    "The files in the directory are of the last run alone: an older fix file is removed, an older undo file gets a number.\n\n" +
    "Locks, and exit status, as `skyq compare`: 3 when differences were found, 0 when there are none, or none any more; " +
    "6 when another run is writing the same files.",
  examples: [
    "skyq repair conf.ini orders",
    "skyq repair conf.ini orders --apply",
    "skyq repair conf.ini --all --dry-run --online",
    "skyq repair conf.ini orders --repair-where=\"region = 'eu'\" --output=/tmp/fixes",
  ],
  config: "pair",
  configUnless: "source",
  args: { name: "TABLE", many: true, help: "table, `schema.table`, or a glob such as `app.*`; none: all subscribed" },
  options: {
    apply: { kind: "flag", help: "mend the rows now; only the undo file is written" },
    dryRun: { kind: "flag", help: "write no files: print the statements" },
    output: { kind: "string", value: "DIR", default: ".", help: "where the files go (.)" },
    repairWhere: { kind: "string", aliases: ["where"], value: "COND", help: "rows to look at, as an SQL condition" },
    ...SHARED_OPTIONS,
  },
  run(ctx, options, names) {
    const { apply, dryRun, output } = options;
    if (apply && dryRun) throw new SkyqError("usage", "Cannot take --apply and --dry-run together");
    if (apply && options.resume !== null) {
      throw new SkyqError("usage", "Cannot take --apply and --resume together", {
        hint: "What has been applied differs no more: begin anew.",
      });
    }
    if (dryRun && options.json) throw new SkyqError("usage", "Cannot take --dry-run and --json together");
    if (!dryRun) checkWritable(output);
    return withTables(ctx, options, names, {
      where: options.repairWhere,
      isApplying: apply,
      isQuiet: dryRun,
    }, async (prepared) => {
      const resume = resumeFile(ctx, options, prepared, { where: options.repairWhere, output, dryRun });
      return await runTables(prepared.pair, prepared.catalogs, prepared.chosen, {
        ...prepared.options,
        fixes: { dir: output, isWritten: !dryRun, print: writeStdoutBytes },
        resume,
        sampleCount: SAMPLE_COUNT,
      });
    });
  },
});

const SAMPLE_COUNT = 25;
