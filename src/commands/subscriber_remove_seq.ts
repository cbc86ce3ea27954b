import { EXIT } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { removeSubscriberSeqs } from "../engine/nodes/tables.ts";
import { withSubscriber } from "./_pair.ts";

export const subscriberRemoveSeq = defineCommand({
  name: "subscriber remove-seq",
  summary: "End the subscription of sequences; their values stay",
  details: "The provider's sequence and other subscribers are not touched.",
  examples: [
    "skyq subscriber remove-seq conf.ini orders_id_seq",
  ],
  config: "subscriber",
  args: { name: "SEQUENCE", many: true, help: "subscribed sequence, or a glob" },
  options: {
    all: { kind: "flag", help: "everything that is subscribed, when nothing is named" },
  },
  async run(ctx, options, names) {
    const isDone = await withSubscriber(
      ctx,
      (db, queue) => removeSubscriberSeqs(db, queue, { names, all: options.all }, ctx.log),
    );
    return isDone ? EXIT.ok : EXIT.failed;
  },
});
