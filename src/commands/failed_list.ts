import { defineCommand } from "../cli/command.ts";
import { requireSkyq } from "../engine/queue_admin/names.ts";
import { failedEvents } from "../queue/skyq.ts";
import { JSON_OPTION, queueOf, SOME_QUEUE_ARG, withQueues } from "./_database.ts";

export const failedList = defineCommand({
  name: "failed list",
  summary: "List dead letters: events that their consumers gave up on",
  examples: ["skyq failed list ticker.ini", "skyq failed list ticker.ini mail_queue mailer --limit 1000 --json"],
  config: "database",
  args: [SOME_QUEUE_ARG, { name: "CONSUMER", help: "only this consumer's" }],
  options: {
    limit: { kind: "number", default: 100, min: 1, help: "how many at most" },
    json: JSON_OPTION,
  },
  run(ctx, options, args) {
    return withQueues(ctx, async (db) => {
      await requireSkyq(db);
      const rows = await failedEvents(db, {
        queue: queueOf(ctx, args),
        consumer: args[1] ?? null,
        limit: Math.floor(options.limit),
      });
      ctx.out.table(
        [
          { key: "queue_name", title: "queue" },
          { key: "consumer_name", title: "consumer" },
          "ev_id",
          "ev_type",
          { key: "failed_at", title: "failed" },
          "ev_retry",
          "reason",
        ],
        rows.map((row) => ({ ...row })),
        options,
      );
    });
  },
});
