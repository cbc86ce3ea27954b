import { defineCommand } from "../cli/command.ts";
import { type Kind, listTriggers, sharedTables } from "../engine/nodes/dependents.ts";
import { printTitled } from "./_layout.ts";
import { withPair } from "./_pair.ts";

export const subscriberTriggers = defineCommand({
  name: "subscriber triggers",
  summary: "List triggers of the subscribed tables: there, or taken away by drop_triggers = 1",
  examples: ["skyq subscriber triggers conf.ini", "skyq subscriber triggers conf.ini pending"],
  config: "pair",
  args: { name: "KIND", choices: ["pending", "active"], help: "pending or active; none: both" },
  options: { json: { kind: "flag", help: "one JSON object per line" } },
  run(ctx, options, [only]) {
    const kinds = only === undefined ? ["pending", "active"] as const : [only as Kind];
    return withPair(ctx, async (pair, queue) => {
      const tables = await sharedTables(pair, queue);
      if (tables.length === 0) ctx.log.info("No tables, no triggers");
      for (const kind of kinds) {
        const rows = await listTriggers(pair.subscriber, tables, kind);
        if (options.json) {
          for (const row of rows) ctx.out.json({ kind, ...row });
        } else {
          printTitled(
            ctx.out,
            `${kind} triggers`,
            ["table_name", "trigger_name", "trigger_def"],
            rows.map((row) => ({ ...row })),
          );
        }
      }
    });
  },
});
