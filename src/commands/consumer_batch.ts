import { SkyqError } from "../base/errors.ts";
import { defineCommand } from "../cli/command.ts";
import { requireConsumer } from "../engine/queue_admin/names.ts";
import { batchEvents, finishBatch, nextBatch } from "../queue/pgq.ts";
import { finishCoopBatch, nextCoopBatch, subconsumerOf } from "../queue/pgq_coop.ts";
import { CONSUMER_ARG, JSON_OPTION, printEvents, QUEUE_ARG, queueAndConsumer, withQueues } from "./_database.ts";

export const consumerBatch = defineCommand({
  name: "consumer batch",
  summary: "Show the events of a consumer's open batch; open or finish one by hand",
  details:
    "For a consumer that is stuck, and for shell scripts: --open, work, --finish. Exit status 4 when no batch is " +
    "open (with --open: when none is ready).",
  examples: [
    "skyq consumer batch ticker.ini mail_queue mailer",
    "skyq consumer batch ticker.ini mail_queue mailer --open --json",
    "skyq consumer batch ticker.ini mail_queue mailer --finish",
  ],
  config: "database",
  args: [QUEUE_ARG, CONSUMER_ARG],
  options: {
    open: { kind: "flag", help: "open the next batch if none is open" },
    finish: { kind: "flag", help: "finish the open batch; shows nothing" },
    limit: { kind: "number", min: 1, help: "how many events at most" },
    json: JSON_OPTION,
  },
  run(ctx, options, args) {
    const [queue, consumer] = queueAndConsumer(args);
    if (options.open && options.finish) throw new SkyqError("usage", "Cannot take --open and --finish together");
    return withQueues(ctx, async (db) => {
      const state = await requireConsumer(db, queue, consumer);
      const shared = await subconsumerOf(db, queue, consumer);
      const open = async () =>
        shared === null
          ? (await nextBatch(db, queue, consumer))?.batchId ?? null
          : await nextCoopBatch(db, queue, shared);
      const batchId = state.current_batch ?? (options.open ? await open() : null);
      if (batchId === null) {
        throw new SkyqError(
          "not-in-sync",
          `Cannot find a batch of consumer "${consumer}": none is ${options.open ? "ready" : "open"}`,
        );
      }
      if (options.finish) {
        await (shared === null ? finishBatch(db, batchId) : finishCoopBatch(db, batchId));
        ctx.log.info(`Finished batch ${batchId}`);
        return;
      }
      ctx.log.info(`Batch ${batchId}`);
      printEvents(ctx, await batchEvents(db, batchId, options.limit), options);
    });
  },
});
