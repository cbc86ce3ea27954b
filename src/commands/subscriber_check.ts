import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { checkTables } from "../engine/nodes/tables.ts";
import { withPair } from "./_pair.ts";

export const subscriberCheck = defineCommand({
  name: "subscriber check",
  summary: "Compare the structure of the provider's tables with the subscriber's",
  details: "Exit status 3 when there is a difference that keeps a table from being replicated (ERROR).",
  examples: ["skyq subscriber check conf.ini", "skyq subscriber check conf.ini orders --json"],
  config: "pair",
  args: { name: "TABLE", many: true, help: "registered table or glob; none: all" },
  options: { json: { kind: "flag", help: "one JSON object per difference on stdout" } },
  async run(ctx, options, names) {
    const isSound = await withPair(
      ctx,
      (pair, queue) =>
        checkTables(pair, queue, names, ctx.log, (table, { level, text }) => {
          if (options.json) ctx.out.json({ table, level, text });
        }),
    );
    return isSound ? EXIT.ok : EXIT.differences;
  },
});
