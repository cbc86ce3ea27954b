import { SkyqError } from "../base/errors.ts";
import { oneLine } from "../base/units.ts";
import { defineCommand } from "../cli/command.ts";
import { requireSkyq } from "../engine/queue_admin/names.ts";
import { failedEvents } from "../queue/skyq.ts";
import {
  CONSUMER_ARG,
  eventIds,
  EVENTS_ARG,
  JSON_OPTION,
  QUEUE_ARG,
  queueAndConsumer,
  withQueues,
} from "./_database.ts";

export const failedShow = defineCommand({
  name: "failed show",
  summary: "Show dead letters with all their fields",
  examples: ["skyq failed show ticker.ini mail_queue mailer 815"],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG, { ...EVENTS_ARG, required: true }],
  options: { json: JSON_OPTION },
  run(ctx, options, args) {
    const [queue, consumer, ...words] = queueAndConsumer(args);
    return withQueues(ctx, async (db) => {
      await requireSkyq(db);
      for (const eventId of eventIds(words)) {
        const [event] = await failedEvents(db, { queue, consumer, eventId });
        if (event === undefined) {
          throw new SkyqError(
            "not-found",
            `Cannot show event ${eventId}: consumer "${consumer}" has no such dead letter`,
          );
        }
        if (options.json) ctx.out.json(event);
        else {for (const [name, value] of Object.entries(event)) {
            ctx.out.line(`${name.padEnd(13)}  ${oneLine(String(value ?? "-"))}`);
          }}
      }
    });
  },
});
