import { defineCommand } from "../cli/command.ts";
import { runTicker } from "../engine/ticker/ticker.ts";
import { tickerTarget, toMs } from "./_pair.ts";

export const ticker = defineCommand({
  name: "ticker",
  summary: "Cut the queues of a database into batches and maintain them",
  details: "One ticker works on a database; a second one is refused (exit status 6).",
  examples: ["skyq ticker ticker.ini -d", "skyq ticker ticker.ini -s"],
  config: "ticker",
  daemon: true,
  async run(ctx) {
    const { config, log, signal } = ctx;
    await runTicker({
      target: tickerTarget(config),
      log,
      signal,
      tickPeriodMs: toMs(config.get("ticker_period")),
      maintPeriodMs: toMs(config.get("maint_period")),
      retryPeriodMs: toMs(config.get("retry_period")),
      statsPeriodMs: toMs(config.get("stats_period")),
      errorPauseMaxMs: toMs(config.get("exception_sleep")),
      whenTaken: "fail",
      ready: () => ctx.ready(),
    });
  },
});
