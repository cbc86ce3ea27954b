import { defineCommand } from "../cli/command.ts";
import { requireQueue } from "../engine/queue_admin/names.ts";
import { readSettings, type SettingName, SETTINGS, settingText } from "../engine/queue_admin/config.ts";
import { consumerStates, newestTicks, queueInfo } from "../queue/pgq.ts";
import { CONSUMER_COLUMNS, consumerRow, JSON_OPTION, QUEUE_ARG, span, withQueues } from "./_database.ts";

export const queueShow = defineCommand({
  name: "queue show",
  summary: "Show one queue: state, settings, consumers, newest ticks",
  examples: ["skyq queue show ticker.ini orders_queue", "skyq queue show ticker.ini orders_queue --ticks 50 --json"],
  config: "database",
  args: QUEUE_ARG,
  options: {
    ticks: { kind: "number", default: 5, min: 0, help: "how many of the newest ticks" },
    json: JSON_OPTION,
  },
  run(ctx, options, args) {
    const queue = args[0]!;
    return withQueues(ctx, async (db) => {
      await requireQueue(db, queue);
      const [info] = await queueInfo(db, queue);
      const [settings] = await readSettings(db, queue);
      const consumers = await consumerStates(db, queue);
      const ticks = await newestTicks(db, queue, options.ticks);
      if (options.json) return ctx.out.json({ ...info, settings, consumers, ticks });
      const rows = [
        { what: "table", value: `${info!.queue_cur_table} of ${info!.queue_ntables}` },
        { what: "rotated", value: `${span(info!.switched_ago)} ago` },
        { what: "ticked", value: info!.ticker_lag === null ? null : `${span(info!.ticker_lag)} ago` },
        { what: "new events", value: info!.ev_new },
        ...Object.keys(SETTINGS).map((name) => ({
          what: name,
          value: settingText(name as SettingName, settings![name as SettingName]),
        })),
      ];
      ctx.out.table([{ key: "what", title: queue }, { key: "value", title: "" }], rows);
      if (consumers.length > 0) ctx.out.line("");
      ctx.out.table(CONSUMER_COLUMNS.slice(1), consumers.map(consumerRow));
      if (ticks.length > 0) ctx.out.line("");
      ctx.out.table([
        { key: "tick_id", title: "tick" },
        { key: "tick_time", title: "time" },
        { key: "tick_event_seq", title: "events" },
        { key: "tick_snapshot", title: "snapshot" },
      ], ticks.map((tick) => ({ ...tick })));
    });
  },
});
