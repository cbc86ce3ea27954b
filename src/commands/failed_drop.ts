import { SkyqError } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { requireSkyq } from "../engine/queue_admin/names.ts";
import { failedEventDrop, failedEvents } from "../queue/skyq.ts";
import { CONSUMER_ARG, eventIds, EVENTS_ARG, QUEUE_ARG, queueAndConsumer, withQueues } from "./_database.ts";

export const failedDrop = defineCommand({
  name: "failed drop",
  summary: "Forget dead letters",
  details: "They are gone for good.",
  examples: [
    "skyq failed drop ticker.ini mail_queue mailer 815 816",
    "skyq failed drop ticker.ini mail_queue mailer --all",
  ],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG, EVENTS_ARG],
  options: { all: { kind: "flag", help: "all of this consumer" } },
  run(ctx, options, args) {
    const [queue, consumer, ...words] = queueAndConsumer(args);
    const named = eventIds(words);
    if (options.all === named.length > 0) throw new SkyqError("usage", "Cannot drop: name events, or use --all");
    return withQueues(ctx, async (db) => {
      await requireSkyq(db);
      await db.transaction(async (tx) => {
        const ids = options.all ? (await failedEvents(tx, { queue, consumer })).map((event) => event.ev_id) : named;
        for (const id of ids) {
          if (await failedEventDrop(tx, queue, consumer, id)) continue;
          throw new SkyqError("not-found", `Cannot drop event ${id}: consumer "${consumer}" has no such dead letter`);
        }
        ctx.log.info(`${ids.length} dead letters of consumer "${consumer}" were forgotten`);
      });
    });
  },
});
