import { defineCommand } from "../cli/command.ts";
import { makeTick } from "../engine/queue_admin/tick.ts";
import { requireQueue } from "../engine/queue_admin/names.ts";
import { QUEUE_ARG, withQueues } from "./_database.ts";

export const queueTick = defineCommand({
  name: "queue tick",
  summary: "Make a tick now: what is committed can be read afterwards",
  details:
    "Asks the running ticker and waits for the tick. Where none runs (an old ticker of its own is not noticed), " +
    "--self makes it here; two tickers at once are safe only with schema pgq of skyq.",
  examples: ["skyq queue tick ticker.ini orders_queue", "skyq queue tick ticker.ini orders_queue --self"],
  config: "database",
  args: QUEUE_ARG,
  options: {
    self: { kind: "flag", help: "do not wait for a ticker" },
    limit: { kind: "number", default: 10, min: 0, value: "SECONDS", help: "how long to wait for the ticker" },
  },
  run(ctx, options, args) {
    const queue = args[0]!;
    return withQueues(ctx, async (db) => {
      await requireQueue(db, queue);
      const tick = await makeTick(db, queue, {
        isSelf: options.self,
        limitMs: options.limit * 1000,
        signal: ctx.signal,
      });
      ctx.out.line(String(tick));
    });
  },
});
