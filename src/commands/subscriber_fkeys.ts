import { defineCommand } from "../cli/command.ts";
import { type Kind, listFkeys, sharedTables } from "../engine/nodes/dependents.ts";
import { printTitled } from "./_layout.ts";
import { withPair } from "./_pair.ts";

export const subscriberFkeys = defineCommand({
  name: "subscriber fkeys",
  summary: "List foreign keys of the subscribed tables: there, or dropped until both ends are in sync",
  examples: ["skyq subscriber fkeys conf.ini", "skyq subscriber fkeys conf.ini pending"],
  config: "pair",
  args: { name: "KIND", choices: ["pending", "active"], help: "pending or active; none: both" },
  options: { json: { kind: "flag", help: "one JSON object per line" } },
  run(ctx, options, [only]) {
    const kinds = only === undefined ? ["pending", "active"] as const : [only as Kind];
    return withPair(ctx, async (pair, queue) => {
      const tables = await sharedTables(pair, queue);
      if (tables.length === 0) ctx.log.info("No tables, no fkeys");
      for (const kind of kinds) {
        const rows = await listFkeys(pair.subscriber, tables, kind);
        if (options.json) {
          for (const row of rows) ctx.out.json({ kind, ...row });
        } else {
          printTitled(
            ctx.out,
            `${kind} fkeys`,
            ["from_table", "to_table", "fkey_name", "fkey_def"],
            rows.map((row) => ({ ...row })),
          );
        }
      }
    });
  },
});
