import { defineCommand } from "../cli/command.ts";
import { queueInfo } from "../queue/pgq.ts";
import { JSON_OPTION, span, withQueues } from "./_database.ts";

export const queueList = defineCommand({
  name: "queue list",
  summary: "List the queues of a database",
  details: "lag: since the newest tick; new: events since then, rolled back ones included; ev/s: over the last ticks.",
  examples: ["skyq queue list ticker.ini", "skyq queue list ticker.ini --json"],
  config: "database",
  options: { json: JSON_OPTION },
  run(ctx, options) {
    return withQueues(ctx, async (db) => {
      const rows = await queueInfo(db, null);
      if (options.json) return rows.forEach((row) => ctx.out.json(row));
      ctx.out.table(
        ["queue", "table", "tick", "lag", "new", "ev/s"],
        rows.map((row) => ({
          queue: row.queue_name,
          table: `${row.queue_cur_table}/${row.queue_ntables}`,
          tick: row.last_tick_id,
          lag: span(row.ticker_lag),
          new: row.ev_new,
          "ev/s": row.ev_per_sec === null ? null : Math.round(row.ev_per_sec * 10) / 10,
        })),
      );
    });
  },
});
