import { defineCommand } from "../cli/command.ts";
import { requireConsumer } from "../engine/queue_admin/names.ts";
import { retryCount } from "../queue/pgq.ts";
import { failedEventCounts, hasSkyq, rotationHolders } from "../queue/skyq.ts";
import { CONSUMER_ARG, JSON_OPTION, QUEUE_ARG, queueAndConsumer, span, withQueues } from "./_database.ts";

export const consumerShow = defineCommand({
  name: "consumer show",
  summary: "Show one consumer: position, lag, open batch, events to be retried, dead letters",
  examples: ["skyq consumer show ticker.ini mail_queue mailer"],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG],
  options: { json: JSON_OPTION },
  run(ctx, options, args) {
    const [queue, consumer] = queueAndConsumer(args);
    return withQueues(ctx, async (db) => {
      const state = await requireConsumer(db, queue, consumer);
      const isComplete = await hasSkyq(db);
      const holder = isComplete
        ? (await rotationHolders(db, queue)).find((row) => row.consumer_name === consumer)
        : null;
      const facts = {
        ...state,
        retry_events: await retryCount(db, queue, consumer),
        failed_events: isComplete ? (await failedEventCounts(db, consumer)).get(queue) ?? 0 : null,
        holds_rotation_since: holder?.held_since ?? null,
      };
      if (options.json) return ctx.out.json(facts);
      const rows = Object.entries({ ...facts, lag: span(facts.lag), last_seen: span(facts.last_seen) })
        .map(([what, value]) => ({ what, value: value === null ? null : String(value) }));
      ctx.out.table([{ key: "what", title: "fact" }, "value"], rows);
    });
  },
});
