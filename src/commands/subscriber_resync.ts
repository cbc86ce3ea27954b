import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { resyncTables } from "../engine/nodes/tables.ts";
import { withPair } from "./_pair.ts";

export const subscriberResync = defineCommand({
  name: "subscriber resync",
  summary: "Copy tables anew",
  details: "For tables in state ok; the running replay starts the copy by itself, the other tables go on meanwhile.",
  examples: [
    "skyq subscriber resync conf.ini orders",
  ],
  config: "pair",
  args: { name: "TABLE", many: true, help: "table, `schema.table`, or a glob such as `app.*`" },
  options: {
    all: { kind: "flag", help: "everything that is subscribed, when nothing is named" },
  },
  async run(ctx, options, names) {
    const isDone = await withPair(
      ctx,
      (pair, queue) => resyncTables(pair, queue, { names, all: options.all }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
