import { defineCommand } from "../cli/command.ts";
import { peekEvents } from "../engine/queue_admin/events.ts";
import { JSON_OPTION, printEvents, QUEUE_ARG, tickId, withQueues } from "./_database.ts";

export const queueEvents = defineCommand({
  name: "queue events",
  summary: "Show events of a queue without being its consumer",
  details: "The newest first, those of one tick in their order.",
  examples: [
    "skyq queue events ticker.ini orders_queue --limit 100",
    "skyq queue events ticker.ini orders_queue --tick 1234 --table public.orders --type U:%",
  ],
  config: "database",
  args: QUEUE_ARG,
  options: {
    limit: { kind: "number", default: 20, min: 1, help: "how many at most" },
    tick: { kind: "string", value: "TICK", help: "only those that the batch ending with this tick has" },
    type: { kind: "string", value: "PATTERN", help: "only those whose ev_type is LIKE this" },
    table: { kind: "string", value: "NAME", help: "only those with this ev_extra1: the table's full name" },
    json: JSON_OPTION,
  },
  run(ctx, options, args) {
    return withQueues(ctx, async (db) => {
      const events = await peekEvents(db, args[0]!, {
        limit: Math.floor(options.limit),
        tick: tickId(options.tick),
        type: options.type,
        table: options.table,
      });
      printEvents(ctx, events, options);
    });
  },
});
