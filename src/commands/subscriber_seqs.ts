import { defineCommand } from "../cli/command.ts";
import { requireLeaf } from "../engine/nodes/node.ts";
import { getSeqList } from "../queue/londiste.ts";
import { withSubscriber } from "./_pair.ts";

export const subscriberSeqs = defineCommand({
  name: "subscriber seqs",
  summary: "List the subscriber's subscribed sequences",
  examples: ["skyq subscriber seqs conf.ini"],
  config: "subscriber",
  options: { json: { kind: "flag", help: "one JSON object per line, with the published value" } },
  run(ctx, options) {
    return withSubscriber(ctx, async (db, queue) => {
      await requireLeaf(db, queue);
      for (const row of await getSeqList(db, queue)) {
        if (!row.local) continue;
        if (options.json) ctx.out.json({ sequence: row.seq_name, published: row.last_value });
        else ctx.out.line(row.seq_name);
      }
    });
  },
});
