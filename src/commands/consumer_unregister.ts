import { defineCommand } from "../cli/command.ts";
import { requireConsumer, requireNoNode, UNREGISTER_HINT } from "../engine/queue_admin/names.ts";
import { unregisterConsumer } from "../queue/pgq.ts";
import { CONSUMER_ARG, QUEUE_ARG, queueAndConsumer, withQueues } from "./_database.ts";

export const consumerUnregister = defineCommand({
  name: "consumer unregister",
  summary: "End a consumer: its position and its events to be retried are gone",
  details: "Dead letters stay. A node of a cascade is retired by `subscriber unregister` instead.",
  examples: ["skyq consumer unregister ticker.ini mail_queue mailer"],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG],
  run(ctx, _options, args) {
    const [queue, consumer] = queueAndConsumer(args);
    return withQueues(ctx, async (db) => {
      await requireConsumer(db, queue, consumer);
      await requireNoNode(db, {
        queue,
        consumer,
        act: "unregister",
        hint: UNREGISTER_HINT,
      });
      await unregisterConsumer(db, queue, consumer);
      ctx.log.info(`Unregistered consumer "${consumer}" from queue "${queue}"`);
    });
  },
});
