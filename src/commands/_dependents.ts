// What `subscriber fkeys` and `subscriber triggers` have in common.

import { type Command, defineCommand } from "../cli/command.ts";
import type { Queryable } from "../db/queryable.ts";
import { type Kind, sharedTables } from "../engine/nodes/dependents.ts";
import { JSON_OPTION } from "./_database.ts";
import { printTitled } from "./_layout.ts";
import { withPair } from "./_pair.ts";

/** A command that lists things of the subscribed tables that are there, or were taken away for a time. */
export function defineDependents<Column extends string>(spec: {
  /** `fkeys`: the command's second word, and the lists' titles. */
  readonly noun: string;
  readonly summary: string;
  readonly columns: readonly Column[];
  list(db: Queryable, tables: readonly string[], kind: Kind): Promise<readonly Record<Column, string>[]>;
}): Command {
  const { noun, summary, columns } = spec;
  return defineCommand({
    name: `subscriber ${noun}`,
    summary,
    examples: [`skyq subscriber ${noun} conf.ini`, `skyq subscriber ${noun} conf.ini pending`],
    config: "pair",
    args: { name: "KIND", choices: ["pending", "active"], help: "pending or active; none: both" },
    options: { json: JSON_OPTION },
    run(ctx, options, [only]) {
      const kinds = only === undefined ? ["pending", "active"] as const : [only as Kind];
      return withPair(ctx, async (pair, queue) => {
        const tables = await sharedTables(pair, queue);
        if (tables.length === 0) ctx.log.info(`No tables, no ${noun}`);
        for (const kind of kinds) {
          const rows = await spec.list(pair.subscriber, tables, kind);
          if (options.json) { for (const row of rows) ctx.out.json({ kind, ...row }); }
          else printTitled(ctx.out, `${kind} ${noun}`, columns, rows);
        }
      });
    },
  });
}
