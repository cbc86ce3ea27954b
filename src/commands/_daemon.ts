// What the daemons share: options that follow the config when it is read again.

import { messageOf, SkyqError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { Backoff, sleep } from "../base/time.ts";
import type { CommandContext } from "../cli/command.ts";
import type { Target } from "../db/target.ts";
import { type ClusterOptions, runTicker, type TickerOptions } from "../engine/ticker/ticker.ts";
import { providerTarget, toMs } from "./_targets.ts";

/**
 * Runs a daemon. With `wait_for_servers` one that cannot reach a server at its start tries again, after growing pauses,
 * and the waiting parent of `-d` ends with a warning.
 * @param run is given what it calls once it is connected; may be called again until then
 */
export async function whenReachable(
  ctx: CommandContext,
  run: (ready: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const backoff = new Backoff(1_000, Math.max(1_000, toMs(ctx.config.get("exception_sleep"))));
  let isReady = false;
  const ready = () => {
    isReady = true;
    return ctx.ready();
  };
  for (;;) {
    try {
      return await run(ready);
    } catch (error) {
      const isUnreachable = error instanceof SkyqError &&
        (error.fault === "connect" || error.fault === "connection-lost");
      if (isReady || !isUnreachable || !ctx.config.get("wait_for_servers")) throw error;
      const pauseMs = backoff.next();
      ctx.log.error(`${error.message}; next try in ${Math.ceil(pauseMs / 1000)} s`);
      await ctx.ready(`${error.message}; it goes on trying (wait_for_servers)`);
      if (!await sleep(pauseMs, ctx.signal)) return;
    }
  }
}

/** Counts reloads of the config. */
export function countReloads(ctx: CommandContext): { readonly count: number } {
  const reloads = { count: 0 };
  ctx.onReload(() => reloads.count++);
  return reloads;
}

interface OwnOptions {
  /** The command's own when not given. */
  log?: Logger;
  statsPeriodMs(): number;
  signal: AbortSignal;
  whenTaken: TickerOptions["whenTaken"];
  ready(): Promise<void> | void;
}

/** The options of a ticker for one database, each read from the config as it is then. */
export function tickerOptions(ctx: CommandContext, own: OwnOptions & { target(): Target }): TickerOptions {
  return Object.defineProperty(commonOptions(ctx, own), "target", { get: () => own.target() }) as TickerOptions;
}

/** The options of a ticker for a cluster. */
export function clusterOptions(
  ctx: CommandContext,
  own: OwnOptions & { targetOf(database: string): Target },
): ClusterOptions {
  return Object.defineProperties(commonOptions(ctx, own), {
    targetOf: { value: own.targetOf },
    initialTarget: { get: () => own.targetOf(ctx.config.get("initial_database")) },
    databases: { get: () => ctx.config.get("database_list") },
  }) as ClusterOptions;
}

function commonOptions(ctx: CommandContext, own: OwnOptions): Omit<TickerOptions, "target"> {
  const reloads = countReloads(ctx);
  return {
    log: own.log ?? ctx.log,
    signal: own.signal,
    whenTaken: own.whenTaken,
    ready: own.ready,
    get statsPeriodMs() {
      return own.statsPeriodMs();
    },
    get tickPeriodMs() {
      return toMs(ctx.config.get("ticker_period"));
    },
    get maintPeriodMs() {
      return toMs(ctx.config.get("maint_period"));
    },
    get retryPeriodMs() {
      return toMs(ctx.config.get("retry_period"));
    },
    get checkPeriodMs() {
      return toMs(ctx.config.get("check_period"));
    },
    get errorPauseMaxMs() {
      return toMs(ctx.config.get("exception_sleep"));
    },
    get lockTimeoutMs() {
      return toMs(ctx.config.get("lock_timeout"));
    },
    get connectionLifetimeMs() {
      return toMs(ctx.config.get("connection_lifetime"));
    },
    get reloadCount() {
      return reloads.count;
    },
  };
}

/** The own ticker of a replay or copy: it gives way to any other, and takes over when that one ends. */
export async function tickBeside(ctx: CommandContext, beside: "replay" | "copy", signal: AbortSignal): Promise<void> {
  const { config, log } = ctx;
  if (config.get("ticker") === "off") return;
  try {
    await runTicker(tickerOptions(ctx, {
      log: besideLog(log, beside),
      target: () => providerTarget(ctx.config),
      statsPeriodMs: () => toMs(ctx.config.get("keepalive_stats")),
      signal,
      whenTaken: config.get("ticker") === "on" && beside === "replay" ? "fail" : "stand-by",
      ready: () => log.info("Ticking the queue"),
    }));
  } catch (error) {
    log.error(`No ticker runs beside this ${beside}: ${messageOf(error)}`);
  }
}

/** A replay's log is about the replay: the ticker beside it says that it is one, and is silent when it counted nothing. */
function besideLog(log: Logger, beside: string): Logger {
  const named = (message: string) => `Beside the ${beside}: ${message}`;
  return {
    ...log,
    warning: (message) => log.warning(named(message)),
    error: (message) => log.error(named(message)),
    critical: (message) => log.critical(named(message)),
    stat(values) {
      if (Object.values(values).some((value) => value !== 0)) log.stat(values);
    },
  };
}
