import { SkyqError } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { requireConsumer, requireNoNode } from "../engine/queue_admin/names.ts";
import { findTick } from "../engine/queue_admin/position.ts";
import { registerConsumerAt } from "../queue/pgq.ts";
import { subconsumerOf } from "../queue/pgq_coop.ts";
import { CONSUMER_ARG, QUEUE_ARG, queueAndConsumer, withQueues } from "./_database.ts";

export const consumerSeek = defineCommand({
  name: "consumer seek",
  summary: "Move a consumer back or forth",
  details:
    "Backward it gets events again, as far as ticks are kept: a rotation period at least. Forward it never gets " +
    "what is left out. Stop the consumer first: an open batch is forgotten. For a replay use `replay --rewind`.",
  examples: [
    "skyq consumer seek ticker.ini mail_queue mailer 1234",
    'skyq consumer seek ticker.ini mail_queue mailer "2026-01-31 12:00"',
    "skyq consumer seek ticker.ini mail_queue mailer newest",
  ],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG, { name: "POSITION", help: "tick, time, oldest or newest", required: true }],
  run(ctx, _options, args) {
    const [queue, consumer, position] = queueAndConsumer(args);
    return withQueues(ctx, async (db) => {
      const before = await requireConsumer(db, queue, consumer);
      const shared = await subconsumerOf(db, queue, consumer);
      if (shared !== null) {
        throw new SkyqError(
          "refused",
          `Cannot move consumer "${consumer}": it shares the position of "${shared.main}"`,
          {
            hint: "Move that one; to give an open batch up, pgq_coop.unregister_subconsumer(queue, consumer, name, 1).",
          },
        );
      }
      await requireNoNode(db, {
        queue,
        consumer,
        act: "move",
        hint: "What it applied is noted on its own side: `skyq replay CONFIG --rewind` goes back to that.",
      });
      const tick = await findTick(db, queue, position!);
      if (before.current_batch !== null) ctx.log.warning(`Open batch ${before.current_batch} is forgotten`);
      await registerConsumerAt(db, queue, consumer, tick);
      ctx.log.info(`Moved consumer "${consumer}" of queue "${queue}" from tick ${before.last_tick ?? "-"} to ${tick}`);
    });
  },
});
