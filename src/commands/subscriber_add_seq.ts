import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { addSubscriberSeqs } from "../engine/nodes/tables.ts";
import { withPair } from "./_pair.ts";

export const subscriberAddSeq = defineCommand({
  name: "subscriber add-seq",
  summary: "Subscribe sequences: kept ahead of the provider's, never moved back",
  details: "The sequence must exist on both sides, and be added on the provider.",
  examples: [
    "skyq subscriber add-seq conf.ini orders_id_seq",
    "skyq subscriber add-seq conf.ini --all",
  ],
  config: "pair",
  args: { name: "SEQUENCE", many: true, help: "sequence, `schema.sequence`, or a glob" },
  options: {
    all: { kind: "flag", help: "everything that both sides have, when nothing is named" },
  },
  async run(ctx, options, names) {
    const isDone = await withPair(
      ctx,
      (pair, queue) => addSubscriberSeqs(pair, queue, { names, all: options.all }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
