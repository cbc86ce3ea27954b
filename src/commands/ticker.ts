import { defineCommand } from "../cli/command.ts";
import { runTicker } from "../engine/ticker/ticker.ts";
import { tickerOptions } from "./_daemon.ts";
import { tickerTarget, toMs } from "./_pair.ts";

export const ticker = defineCommand({
  name: "ticker",
  summary: "Cut the queues of a database into batches and maintain them",
  details: "One ticker works on a database; a second one is refused (exit status 6).",
  examples: ["skyq ticker ticker.ini -d", "skyq ticker ticker.ini -s"],
  config: "ticker",
  daemon: true,
  async run(ctx) {
    await runTicker(tickerOptions(ctx, {
      target: () => tickerTarget(ctx.config),
      statsPeriodMs: () => toMs(ctx.config.get("stats_period")),
      signal: ctx.signal,
      whenTaken: "fail",
      ready: () => ctx.ready(),
    }));
  },
});
