import { defineCommand } from "../cli/command.ts";
import { requireRoot } from "../engine/nodes/node.ts";
import { getTableList } from "../queue/londiste.ts";
import { withProvider } from "./_pair.ts";

export const providerTables = defineCommand({
  name: "provider tables",
  summary: "List the provider's replicated tables",
  examples: ["skyq provider tables conf.ini"],
  config: "provider",
  options: { json: { kind: "flag", help: "one JSON object per line" } },
  run(ctx, options) {
    return withProvider(ctx, async (db, queue) => {
      await requireRoot(db, queue);
      for (const row of await getTableList(db, queue)) {
        if (!row.local) continue;
        if (options.json) ctx.out.json({ table: row.table_name });
        else ctx.out.line(row.table_name);
      }
    });
  },
});
