import { SkyqError } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { dropQueueAndLimits } from "../engine/queue_admin/drop.ts";
import { requireQueue } from "../engine/queue_admin/names.ts";
import { consumerStates } from "../queue/pgq.ts";
import { QUEUE_ARG, withQueues } from "./_database.ts";

export const queueDrop = defineCommand({
  name: "queue drop",
  summary: "Drop a queue and all its events",
  details: "Refused while it has consumers, unless --force ends them as well. Dead letters stay.",
  examples: ["skyq queue drop ticker.ini mail_queue"],
  config: "database",
  args: QUEUE_ARG,
  options: { force: { kind: "flag", help: "end its consumers too" } },
  run(ctx, options, args) {
    const queue = args[0]!;
    return withQueues(ctx, async (db) => {
      await requireQueue(db, queue);
      const consumers = (await consumerStates(db, queue)).map((row) => row.consumer_name);
      if (consumers.length > 0 && !options.force) {
        throw new SkyqError("refused", `Cannot drop queue "${queue}": it has consumers: ${consumers.join(", ")}`, {
          hint: "Unregister them first, or use --force.",
        });
      }
      await dropQueueAndLimits(db, queue, options.force, ctx.log);
      ctx.log.info(`Dropped queue "${queue}"`);
    });
  },
});
