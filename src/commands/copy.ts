import { defineCommand } from "../cli/command.ts";
import { claimCopy, copyForeground } from "../engine/copy/foreground.ts";
import { errorPolicy } from "./_policy.ts";
import { tickBeside } from "./_daemon.ts";
import { withSubscriber } from "./_pair.ts";
import { providerTarget, subscriberTarget, toBytes, toMs } from "./_targets.ts";

export const copy = defineCommand({
  name: "copy",
  summary: "Copy one table now, in the foreground, or go on with its copy",
  details:
    "For tables in a state other than ok. A running replay copies tables by itself; this is for a table that is to " +
    "come before its turn, or to be watched, with more connections (--set copy_connections=4). Ends when the table is " +
    "handed over to the replay, or, where none runs, when it waits for one.",
  examples: ["skyq copy conf.ini orders", "skyq copy conf.ini orders --set copy_connections=4"],
  config: "pair",
  args: { name: "TABLE", required: true, help: "subscribed table" },
  async run(ctx, _options, [table]) {
    const { config, log, signal } = ctx;
    const [queue, name] = await withSubscriber(
      ctx,
      async (db, queue) => [queue, await claimCopy(db, table!, { queue, log })] as const,
    );
    const end = new AbortController();
    // Changes made meanwhile come in batches, which somebody has to cut.
    const ticking = tickBeside(ctx, "copy", end.signal);
    try {
      await copyForeground({
        queue,
        table: name,
        worker: config.need("pgq_consumer_id"),
        provider: providerTarget(config),
        subscriber: subscriberTarget(config),
        lockTimeoutMs: toMs(config.get("lock_timeout")),
        connections: config.get("copy_connections"),
        chunkBytes: toBytes(config.get("copy_chunk_mb")),
        policy: errorPolicy(config),
        log,
        signal,
      });
    } finally {
      end.abort();
      await ticking;
    }
  },
});
