import { defineCommand } from "../cli/command.ts";
import { requireRoot } from "../engine/nodes/node.ts";
import { getSeqList } from "../queue/londiste.ts";
import { withProvider } from "./_pair.ts";

export const providerSeqs = defineCommand({
  name: "provider seqs",
  summary: "List the provider's replicated sequences",
  examples: ["skyq provider seqs conf.ini"],
  config: "provider",
  options: { json: { kind: "flag", help: "one JSON object per line, with the published value" } },
  run(ctx, options) {
    return withProvider(ctx, async (db, queue) => {
      await requireRoot(db, queue);
      for (const row of await getSeqList(db, queue)) {
        if (!row.local) continue;
        if (options.json) ctx.out.json({ sequence: row.seq_name, published: row.last_value });
        else ctx.out.line(row.seq_name);
      }
    });
  },
});
