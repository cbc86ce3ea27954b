import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { restoreTriggers } from "../engine/nodes/tables.ts";
import { withSubscriber } from "./_pair.ts";

export const subscriberRestoreTriggers = defineCommand({
  name: "subscriber restore-triggers",
  summary: "Make the triggers again that drop_triggers = 1 took from a table",
  details: "Without trigger names all that are pending.",
  examples: [
    "skyq subscriber restore-triggers conf.ini orders",
    "skyq subscriber restore-triggers conf.ini orders audit",
  ],
  config: "subscriber",
  args: [
    { name: "TABLE", required: true, help: "subscribed table" },
    { name: "TRIGGER", many: true, help: "trigger's name" },
  ],
  async run(ctx, _options, [table, ...triggers]) {
    const isDone = await withSubscriber(ctx, (db, queue) => restoreTriggers(db, queue, table!, triggers, ctx.log));
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
