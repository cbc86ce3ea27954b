import { defineCommand } from "../cli/command.ts";
import { requireQueue } from "../engine/queue_admin/names.ts";
import { consumerStates } from "../queue/pgq.ts";
import { CONSUMER_COLUMNS, consumerRow, JSON_OPTION, queueOf, SOME_QUEUE_ARG, withQueues } from "./_database.ts";

export const consumerList = defineCommand({
  name: "consumer list",
  summary: "List the consumers of queues and where they stand",
  details: "Names that begin with a dot hold watermarks of nodes; --all shows them too.",
  examples: ["skyq consumer list ticker.ini", "skyq consumer list ticker.ini orders_queue --all"],
  config: "database",
  args: SOME_QUEUE_ARG,
  options: { all: { kind: "flag", help: "with those whose names begin with a dot" }, json: JSON_OPTION },
  run(ctx, options, args) {
    return withQueues(ctx, async (db) => {
      const queue = queueOf(ctx, args);
      if (queue !== null) await requireQueue(db, queue);
      const rows = (await consumerStates(db, queue)).filter((row) => options.all || !row.consumer_name.startsWith("."));
      if (options.json) return rows.forEach((row) => ctx.out.json(row));
      ctx.out.table(CONSUMER_COLUMNS, rows.map(consumerRow));
    });
  },
});
