import { basename } from "node:path";
import { messageOf, SkyqError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { defineCommand } from "../cli/command.ts";
import { executeScripts, readAttributes, type Script, tryScripts } from "../engine/replay/script.ts";
import { withPair, withProvider } from "./_pair.ts";

export const execute = defineCommand({
  name: "execute",
  summary: "Run SQL scripts on the provider and, at the same place among the changes, on every subscriber",
  details: "For structure changes. All files run in one transaction under lock_timeout; a statement that fails takes " +
    "everything back. A file's base name is its identity: what was applied once is not applied again. Where a script " +
    "has no business is told by comments at its top: `--*-- Local-Table: orders` (also Local-Sequence, " +
    "Local-Destination: registered here), `--*-- Need-Table: app.log` (also Need-Sequence, Need-View, Need-Schema, " +
    "Need-Function: f(2)): a node that has all of them runs it, one that has none passes it over, one that has some " +
    "stops. `@orders@` stands for the node's own name of a Local table. A script without such lines runs everywhere, " +
    "and a subscriber where it fails stops replaying until it can run.",
  examples: [
    "skyq execute conf.ini 2024_add_column.sql",
    "skyq execute conf.ini 2024_add_column.sql --dry-run",
  ],
  config: "pair",
  args: { name: "FILE", many: true, required: true, help: "file with SQL statements, no COMMIT among them" },
  options: {
    dryRun: { kind: "flag", help: "run it on the provider and on this subscriber, and take it back on both" },
  },
  async run(ctx, options, paths) {
    const scripts = paths.map(readScript);
    if (!options.dryRun) {
      await withProvider(ctx, (db, queue) => executeScripts(db, queue, scripts, ctx.log));
      return;
    }
    await withPair(ctx, async ({ provider, subscriber }, queue) => {
      await tryScripts(provider, scripts, { queue, isRoot: true, log: named(ctx.log, "provider") });
      await tryScripts(subscriber, scripts, { queue, isRoot: false, log: named(ctx.log, "subscriber") });
    });
    ctx.log.info("Dry run: nothing was changed");
  },
});

function readScript(path: string): Script {
  let sql: string;
  try {
    sql = new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path));
  } catch (error) {
    throw new SkyqError("usage", `Cannot read script "${path}": ${messageOf(error)}`, {
      hint: "Name a text file of SQL statements, in UTF-8.",
    });
  }
  return { file: basename(path), sql, attributes: readAttributes(sql) };
}

function named(log: Logger, side: string): Logger {
  return { ...log, info: (text) => log.info(`${side}: ${text}`), warning: (text) => log.warning(`${side}: ${text}`) };
}
