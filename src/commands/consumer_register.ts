import { SkyqError } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { checkedName, requireQueue } from "../engine/queue_admin/names.ts";
import { findTick, isRegistered, positionOf } from "../engine/queue_admin/position.ts";
import { registerConsumer, registerConsumerAt } from "../queue/pgq.ts";
import { CONSUMER_ARG, QUEUE_ARG, queueAndConsumer, withQueues } from "./_database.ts";

export const consumerRegister = defineCommand({
  name: "consumer register",
  summary: "Register a consumer: it gets every event from then on",
  details: "Begins at the newest tick, or where --at or --copy says. One that is registered stays where it is; " +
    "`consumer seek` moves it. A consumer that nobody runs keeps the queue from being emptied.",
  examples: [
    "skyq consumer register ticker.ini mail_queue mailer",
    "skyq consumer register ticker.ini mail_queue mailer2 --copy mailer",
    'skyq consumer register ticker.ini mail_queue audit --at "2026-01-31 12:00"',
  ],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG],
  options: {
    at: { kind: "string", value: "POSITION", help: "tick, time, oldest or newest" },
    copy: { kind: "string", value: "CONSUMER", help: "where this one stands" },
  },
  run(ctx, options, args) {
    const [queue, name] = queueAndConsumer(args);
    const consumer = checkedName("register consumer", name);
    if (options.at !== null && options.copy !== null) {
      throw new SkyqError("usage", "Cannot take --at and --copy together");
    }
    return withQueues(ctx, async (db) => {
      await requireQueue(db, queue);
      if (await isRegistered(db, queue, consumer)) {
        ctx.log.info(`Consumer "${consumer}" is registered on queue "${queue}" already`);
        return;
      }
      const tick = options.at !== null
        ? await findTick(db, queue, options.at)
        : options.copy !== null
        ? await positionOf(db, queue, options.copy)
        : null;
      if (tick === null) await registerConsumer(db, queue, consumer);
      else await registerConsumerAt(db, queue, consumer, tick);
      ctx.log.info(`Registered consumer "${consumer}" on queue "${queue}"${tick === null ? "" : ` at tick ${tick}`}`);
    });
  },
});
