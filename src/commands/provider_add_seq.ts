import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { addProviderSeqs } from "../engine/nodes/tables.ts";
import { withProvider } from "./_pair.ts";

export const providerAddSeq = defineCommand({
  name: "provider add-seq",
  summary: "Put sequences of the provider under replication",
  details: "Values are published ahead of the sequence, with room for what is handed out between two looks.",
  examples: [
    "skyq provider add-seq conf.ini orders_id_seq",
  ],
  config: "provider",
  args: { name: "SEQUENCE", many: true, help: "sequence, `schema.sequence`, or a glob" },
  options: {
    all: { kind: "flag", help: "everything that fits, when nothing is named" },
  },
  async run(ctx, options, names) {
    const isDone = await withProvider(
      ctx,
      (db, queue) => addProviderSeqs(db, queue, { names, all: options.all }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
