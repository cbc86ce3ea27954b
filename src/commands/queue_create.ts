import { defineCommand } from "../cli/command.ts";
import { checkedName } from "../engine/queue_admin/names.ts";
import { createQueue } from "../queue/pgq.ts";
import { QUEUE_ARG, withQueues } from "./_database.ts";

export const queueCreate = defineCommand({
  name: "queue create",
  summary: "Create a queue",
  details:
    "One that is there already is left as it is. Applications write by pgq.insert_event(queue, type, data) or by " +
    "the trigger functions pgq.logutriga, sqltriga and jsontriga.",
  examples: ["skyq queue create ticker.ini mail_queue"],
  config: "database",
  args: QUEUE_ARG,
  run(ctx, _options, args) {
    const queue = checkedName("create queue", args[0]!);
    return withQueues(ctx, async (db) => {
      const isNew = await createQueue(db, queue);
      ctx.log.info(isNew ? `Created queue "${queue}"` : `Queue "${queue}" is there already`);
    });
  },
});
