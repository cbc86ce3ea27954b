import { messageOf } from "../base/errors.ts";
import { type CommandContext, defineCommand } from "../cli/command.ts";
import { resetPosition, rewindQueue } from "../engine/nodes/position.ts";
import { runReplay } from "../engine/replay/worker.ts";
import { runTicker } from "../engine/ticker/ticker.ts";
import { providerTarget, subscriberTarget, toMs, withPair } from "./_pair.ts";

export const replay = defineCommand({
  name: "replay",
  summary: "Replay the provider's changes on the subscriber, and copy newly added tables",
  details: "Each batch is applied in one transaction together with the position, so it may be killed at any moment. " +
    "With ticker = auto it also ticks the queue when no other ticker does.",
  examples: ["skyq replay conf.ini", "skyq replay conf.ini -d", "skyq replay conf.ini -s"],
  config: "pair",
  daemon: true,
  options: {
    rewind: { kind: "flag", help: "move the queue's position back to the subscriber's, and end" },
    reset: { kind: "flag", help: "take the queue's position for the subscriber's, and end" },
  },
  async run(ctx, options) {
    const { config, log } = ctx;
    const worker = config.need("pgq_consumer_id");
    if (options.rewind) {
      await withPair(ctx, (pair, queue) => rewindQueue(pair, queue, worker, log));
      return;
    }
    if (options.reset) {
      await withPair(ctx, (pair, queue) => resetPosition(pair, queue, worker, log));
      return;
    }
    const end = new AbortController();
    const ticking = tickBeside(ctx, end.signal);
    try {
      await runReplay({
        queue: config.need("pgq_queue_name"),
        worker,
        provider: providerTarget(config),
        subscriber: subscriberTarget(config),
        log,
        signal: ctx.signal,
        loopDelayMs: toMs(config.get("loop_delay")),
        lockTimeoutMs: toMs(config.get("lock_timeout")),
        connectionLifetimeMs: toMs(config.get("connection_lifetime")),
        errorPauseMaxMs: toMs(config.get("exception_sleep")),
        parallelCopies: config.get("parallel_copies"),
        arenaBytes: arenaBytesWithin(config.get("memory_mb")),
        ready: () => ctx.ready(),
      });
    } finally {
      end.abort();
      await ticking;
    }
  },
});

/** A codec takes about 3.6 times its arena, and some MiB besides. @param memoryMb bound for the whole, in MiB */
function arenaBytesWithin(memoryMb: number): number {
  return Math.max(1, Math.floor(memoryMb / 4)) * 1024 * 1024;
}

/** The replay's own ticker: it gives way to any other, and takes over when that one ends. */
async function tickBeside(ctx: CommandContext, signal: AbortSignal): Promise<void> {
  const { config, log } = ctx;
  if (config.get("ticker") === "off") return;
  try {
    await runTicker({
      target: providerTarget(config),
      log,
      signal,
      tickPeriodMs: toMs(config.get("ticker_period")),
      maintPeriodMs: toMs(config.get("maint_period")),
      retryPeriodMs: toMs(config.get("retry_period")),
      statsPeriodMs: toMs(config.get("keepalive_stats")),
      errorPauseMaxMs: toMs(config.get("exception_sleep")),
      whenTaken: config.get("ticker") === "on" ? "fail" : "stand-by",
      ready: () => log.info("Ticking the queue"),
    });
  } catch (error) {
    log.error(`No ticker runs beside this replay: ${messageOf(error)}`);
  }
}
