import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { addSubscriberSeqs } from "../engine/nodes/tables.ts";
import { withPair } from "./_pair.ts";

export const subscriberAddSeq = defineCommand({
  name: "subscriber add-seq",
  summary: "Subscribe sequences: kept ahead of the provider's, never moved back",
  details: "The sequence must be added on the provider, and exist here; --create makes it as the provider has it.",
  examples: [
    "skyq subscriber add-seq conf.ini orders_id_seq",
    "skyq subscriber add-seq conf.ini --all",
  ],
  config: "pair",
  args: { name: "SEQUENCE", many: true, help: "sequence, `schema.sequence`, or a glob" },
  options: {
    all: { kind: "flag", help: "everything that the provider sends, when nothing is named" },
    create: { kind: "flag", help: "make sequences that are missing on the subscriber" },
  },
  async run(ctx, options, names) {
    const isDone = await withPair(
      ctx,
      (pair, queue) => addSubscriberSeqs(pair, queue, { names, all: options.all }, { create: options.create }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
