import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { checkTables } from "../engine/nodes/tables.ts";
import { withPair } from "./_pair.ts";

export const subscriberCheck = defineCommand({
  name: "subscriber check",
  summary: "Compare the structure of the provider's tables with the subscriber's",
  examples: ["skyq subscriber check conf.ini", "skyq subscriber check conf.ini orders"],
  config: "pair",
  args: { name: "TABLE", many: true, help: "registered table or glob; none: all" },
  async run(ctx, _options, names) {
    const isSound = await withPair(ctx, (pair, queue) => checkTables(pair, queue, names, ctx.log));
    return isSound ? EXIT.ok : EXIT.differences;
  },
});
