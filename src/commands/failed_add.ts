import { counted } from "../base/units.ts";
import { defineCommand } from "../cli/command.ts";
import { during } from "../db/errors.ts";
import { requireSkyq } from "../engine/queue_admin/names.ts";
import { openBatchOf } from "../engine/queue_admin/position.ts";
import { eventFailed } from "../queue/skyq.ts";
import { CONSUMER_ARG, eventIds, EVENTS_ARG, QUEUE_ARG, queueAndConsumer, withQueues } from "./_database.ts";

export const failedAdd = defineCommand({
  name: "failed add",
  summary: "Put events of a consumer's open batch among its dead letters",
  details: "What a consumer does by skyq.event_failed(batch, event, reason). The batch stays open.",
  examples: ['skyq failed add ticker.ini mail_queue mailer 815 --reason "no such address"'],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG, { ...EVENTS_ARG, required: true }],
  options: { reason: { kind: "string", help: "why" } },
  run(ctx, options, args) {
    const [queue, consumer, ...words] = queueAndConsumer(args);
    const ids = eventIds(words);
    return withQueues(ctx, async (db) => {
      await requireSkyq(db);
      const batchId = await openBatchOf(db, queue, consumer);
      let count = 0;
      await db.transaction(async (tx) => {
        for (const id of ids) {
          const act = `Cannot make event ${id} of batch ${batchId} a dead letter`;
          if (await during(act, eventFailed(tx, batchId, id, options.reason))) count++;
        }
      });
      const before = ids.length > count ? `; ${ids.length - count} had been before` : "";
      ctx.log.info(`${counted(count, "event")} of batch ${batchId} became dead letters${before}`);
    });
  },
});
