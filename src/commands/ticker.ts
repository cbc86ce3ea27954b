import { defineCommand } from "../cli/command.ts";
import { runClusterTicker, runTicker } from "../engine/ticker/ticker.ts";
import { clusterOptions, tickerOptions, whenReachable } from "./_daemon.ts";
import { databaseTarget, tickerTarget, toMs } from "./_targets.ts";

export const ticker = defineCommand({
  name: "ticker",
  summary: "Cut the queues of a database, or of a whole cluster, into batches and maintain them",
  details: "With db it serves one database, with base_connstr (or a [pgqd] section) every database of a cluster that " +
    "has queues, as they come and go; database_list limits them. While events come, the queues are looked at each " +
    "ticker_period; when nothing moves, once a second. `notify skyq_ticker` in the database makes it look at once.\n\n" +
    "One ticker works on a database. That of a replay (ticker = auto) gives way to this one; a second one is refused " +
    "(exit status 6).",
  examples: ["skyq ticker ticker.ini -d", "skyq ticker ticker.ini -s", "skyq ticker pgqd.ini"],
  config: "ticker",
  daemon: true,
  async run(ctx) {
    const isCluster = ctx.config.get("db") === null && ctx.config.get("provider_db") === null;
    const targetOf = (database: string) => databaseTarget(ctx.config, database);
    await whenReachable(ctx, (ready) => {
      const own = { statsPeriodMs: () => toMs(ctx.config.get("stats_period")), signal: ctx.signal, ready };
      return isCluster
        ? runClusterTicker(clusterOptions(ctx, { ...own, whenTaken: "wait", targetOf }))
        : runTicker(tickerOptions(ctx, { ...own, whenTaken: "fail", target: () => tickerTarget(ctx.config) }));
    });
  },
});
