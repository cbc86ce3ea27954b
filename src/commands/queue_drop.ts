import { defineCommand } from "../cli/command.ts";
import { dropQueueAndLimits } from "../engine/queue_admin/drop.ts";
import { requireQueue } from "../engine/queue_admin/names.ts";
import { QUEUE_ARG, withQueues } from "./_database.ts";

export const queueDrop = defineCommand({
  name: "queue drop",
  summary: "Drop a queue and all its events",
  details:
    "Refused while it has consumers, unless --force ends them as well; and while triggers of tables write into it " +
    "or a node of a cascade lives by it. Dead letters stay.",
  examples: ["skyq queue drop ticker.ini mail_queue"],
  config: "database",
  args: QUEUE_ARG,
  options: { force: { kind: "flag", help: "end its consumers too" } },
  run(ctx, options, args) {
    const queue = args[0]!;
    return withQueues(ctx, async (db) => {
      await requireQueue(db, queue);
      await dropQueueAndLimits(db, queue, options.force, ctx.log);
      ctx.log.info(`Dropped queue "${queue}"`);
    });
  },
});
