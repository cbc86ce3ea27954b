import { defineCommand } from "../cli/command.ts";
import { requireLeaf, requireRoot } from "../engine/nodes/node.ts";
import { learnFromProvider } from "../engine/nodes/pair.ts";
import { getSeqList, getTableList } from "../queue/londiste.ts";
import { withPair } from "./_pair.ts";

export const subscriberMissing = defineCommand({
  name: "subscriber missing",
  summary: "List what the provider replicates and this subscriber has not subscribed",
  examples: ["skyq subscriber missing conf.ini"],
  config: "pair",
  run(ctx) {
    return withPair(ctx, async ({ provider, subscriber }, queue) => {
      await requireRoot(provider, queue);
      await requireLeaf(subscriber, queue);
      await learnFromProvider(provider, subscriber, queue);
      for (const row of await getTableList(subscriber, queue)) {
        if (!row.local) ctx.out.line(`Table: ${row.table_name}`);
      }
      for (const row of await getSeqList(subscriber, queue)) {
        if (!row.local) ctx.out.line(`Sequence: ${row.seq_name}`);
      }
    });
  },
});
