import { counted } from "../base/units.ts";
import { defineCommand } from "../cli/command.ts";
import { during } from "../db/errors.ts";
import { openBatchOf } from "../engine/queue_admin/position.ts";
import { batchRetry, eventRetry } from "../queue/pgq.ts";
import {
  CONSUMER_ARG,
  eventIds,
  EVENTS_ARG,
  QUEUE_ARG,
  queueAndConsumer,
  requireEventsOrAll,
  withQueues,
} from "./_database.ts";

export const consumerRetry = defineCommand({
  name: "consumer retry",
  summary: "Let events of a consumer's open batch come again later",
  details: "They go into the retry queue, for this consumer only; the batch stays open.",
  examples: [
    "skyq consumer retry ticker.ini mail_queue mailer 815 816 --after 600",
    "skyq consumer retry ticker.ini mail_queue mailer --all",
  ],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG, EVENTS_ARG],
  options: {
    all: { kind: "flag", help: "all events of the batch" },
    after: { kind: "number", default: 60, min: 0, value: "SECONDS", help: "when they come again" },
  },
  run(ctx, options, args) {
    const [queue, consumer, ...words] = queueAndConsumer(args);
    const ids = eventIds(words);
    requireEventsOrAll("retry", ids, options.all);
    return withQueues(ctx, async (db) => {
      const batchId = await openBatchOf(db, queue, consumer);
      const seconds = Math.round(options.after);
      const count = await db.transaction(async (tx) => {
        if (options.all) return await batchRetry(tx, batchId, seconds);
        let done = 0;
        for (const id of ids) {
          if (await during(`Cannot retry event ${id} of batch ${batchId}`, eventRetry(tx, batchId, id, seconds))) {
            done++;
          }
        }
        return done;
      });
      const before = ids.length > count ? `; ${ids.length - count} had been put off before` : "";
      ctx.log.info(`${counted(count, "event")} of batch ${batchId} will come again in ${seconds} s${before}`);
    });
  },
});
