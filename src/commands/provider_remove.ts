import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { removeProviderTables } from "../engine/nodes/tables.ts";
import { withProvider } from "./_pair.ts";

export const providerRemove = defineCommand({
  name: "provider remove",
  summary: "Take tables out of replication, on the subscribers too",
  details: "Drops the capture triggers; an event tells every subscriber to forget the tables. Rows stay everywhere.",
  examples: [
    "skyq provider remove conf.ini orders",
  ],
  config: "provider",
  args: { name: "TABLE", many: true, help: "table, `schema.table`, or a glob such as `app.*`" },
  options: {
    all: { kind: "flag", help: "everything that fits, when nothing is named" },
  },
  async run(ctx, options, names) {
    const isDone = await withProvider(
      ctx,
      (db, queue) => removeProviderTables(db, queue, { names, all: options.all }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
