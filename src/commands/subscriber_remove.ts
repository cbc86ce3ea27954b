import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { removeSubscriberTables } from "../engine/nodes/tables.ts";
import { withSubscriber } from "./_pair.ts";

export const subscriberRemove = defineCommand({
  name: "subscriber remove",
  summary: "End the subscription of tables; their rows stay",
  details: "A copy that is in progress ends by itself. Triggers that were dropped when the table was added come back.",
  examples: [
    "skyq subscriber remove conf.ini orders",
  ],
  config: "subscriber",
  args: { name: "TABLE", many: true, help: "table, `schema.table`, or a glob such as `app.*`" },
  options: {
    all: { kind: "flag", help: "everything that is subscribed, when nothing is named" },
  },
  async run(ctx, options, names) {
    const isDone = await withSubscriber(
      ctx,
      (db, queue) => removeSubscriberTables(db, queue, { names, all: options.all }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
