import { EXIT } from "../base/errors.ts";
import { formatBytes, oneLine } from "../base/units.ts";
import { type CommandContext, defineCommand } from "../cli/command.ts";
import { type DatabaseStatus, readStatus } from "../engine/queue_admin/status.ts";
import { CONSUMER_COLUMNS, consumerRow, JSON_OPTION, queueOf, SOME_QUEUE_ARG, span, withQueues } from "./_database.ts";

export const queueStatus = defineCommand({
  name: "queue status",
  summary: "Show queues, consumers, and what is or will become a problem",
  details: "Names the consumer that holds back the rotation, transactions that block it, queues without consumers, a " +
    "ticker that is missing or dead, queues and lags over their limits. rotation: tables / period; ticks: events / lag / " +
    "idle period that make one.",
  examples: ["skyq queue status ticker.ini", "skyq queue status ticker.ini orders_queue --json --check"],
  config: "database",
  args: SOME_QUEUE_ARG,
  options: {
    check: { kind: "flag", help: "exit with status 4 when there are warnings" },
    json: JSON_OPTION,
  },
  run(ctx, options, args) {
    return withQueues(ctx, async (db) => {
      const status = await readStatus(db, queueOf(ctx, args));
      if (options.json) {
        const { queues, ...database } = status;
        ctx.out.json(database);
        for (const queue of queues) ctx.out.json(queue);
      } else {
        print(ctx, status);
      }
      const count = status.warnings.length + status.queues.reduce((sum, queue) => sum + queue.warnings.length, 0);
      return options.check && count > 0 ? EXIT.notInSync : EXIT.ok;
    });
  },
});

function print({ out }: CommandContext, status: DatabaseStatus): void {
  const ticker = status.ticker === null ? "none of skyq's" : `server process ${status.ticker.pid}`;
  out.line(`Postgres version: ${status.postgres_version}   PgQ version: ${status.pgq_version ?? "unknown"}`);
  out.line(`Database: ${status.database}   Ticker: ${ticker}`);
  if (status.queues.length > 0) out.line("");
  out.table(
    ["queue", "rotation", "ticks", "lag", "ev/s", "new", "size"],
    status.queues.map((queue) => ({
      queue: queue.queue_name,
      rotation: `${queue.queue_ntables}/${span(queue.rotation_period)}`,
      ticks: `${queue.ticker_max_count}/${span(queue.ticker_max_lag)}/${span(queue.ticker_idle_period)}`,
      lag: span(queue.ticker_lag),
      "ev/s": queue.ev_per_sec === null ? null : Math.round(queue.ev_per_sec * 10) / 10,
      new: queue.ev_new,
      size: queue.size === null ? null : formatBytes(queue.size),
    })),
  );
  const consumers = status.queues.flatMap((queue) => queue.consumers);
  if (consumers.length > 0) out.line("");
  out.table(CONSUMER_COLUMNS, consumers.map(consumerRow));

  const warnings = [
    ...status.warnings,
    ...status.queues.flatMap((queue) => queue.warnings.map((text) => `${queue.queue_name}: ${text}`)),
  ];
  if (warnings.length > 0) out.line("");
  for (const text of warnings) out.line(`WARNING ${oneLine(text)}`);
}
