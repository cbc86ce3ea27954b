import { defineCommand } from "../cli/command.ts";
import { chosenEvents, requireQuarantine, shownKey } from "../engine/replay/retry.ts";
import { requireLeaf } from "../engine/nodes/node.ts";
import { JSON_OPTION } from "./_database.ts";
import { withSubscriber } from "./_pair.ts";

export const quarantineList = defineCommand({
  name: "quarantine list",
  summary: "List events that the subscriber refused, and those that wait behind them",
  details:
    "Rows of on_error = quarantine, in queue order. What has no SQLSTATE was not refused itself: it follows an " +
    "earlier event of its key.",
  examples: ["skyq quarantine list conf.ini", "skyq quarantine list conf.ini orders 'audit.*' --json"],
  config: "subscriber",
  args: { name: "TABLE", many: true, help: "only of these: table, `schema.table` or glob" },
  options: {
    limit: { kind: "number", default: 100, min: 1, help: "how many at most" },
    json: JSON_OPTION,
  },
  run(ctx, options, words) {
    return withSubscriber(ctx, async (db, queue) => {
      await requireLeaf(db, queue);
      await requireQuarantine(db);
      const events = await chosenEvents(db, queue, { words, all: words.length === 0 }, ctx.log.info);
      const shown = events.slice(0, Math.floor(options.limit));
      ctx.out.table(
        [
          { key: "ev_id", title: "event" },
          { key: "table_name", title: "table" },
          "key",
          { key: "ev_type", title: "type" },
          { key: "tick_id", title: "tick" },
          { key: "quarantined_at", title: "since" },
          "sqlstate",
          "error",
        ],
        shown.map((event) => options.json ? { ...event } : { ...event, key: shownKey(event.key).trim() || null }),
        options,
      );
      if (events.length > shown.length) ctx.log.info(`${events.length - shown.length} more, see --limit`);
    });
  },
});
