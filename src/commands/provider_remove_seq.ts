import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { removeProviderSeqs } from "../engine/nodes/tables.ts";
import { withProvider } from "./_pair.ts";

export const providerRemoveSeq = defineCommand({
  name: "provider remove-seq",
  summary: "Take sequences out of replication, on the subscribers too",
  details: "An event tells every subscriber to forget them; their values stay.",
  examples: [
    "skyq provider remove-seq conf.ini orders_id_seq",
  ],
  config: "provider",
  args: { name: "SEQUENCE", many: true, help: "registered sequence, or a glob" },
  options: {
    all: { kind: "flag", help: "everything that fits, when nothing is named" },
  },
  async run(ctx, options, names) {
    const isDone = await withProvider(
      ctx,
      (db, queue) => removeProviderSeqs(db, queue, { names, all: options.all }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
