// What the daemons share: options that follow the config when it is read again.

import type { CommandContext } from "../cli/command.ts";
import type { Target } from "../db/target.ts";
import type { TickerOptions } from "../engine/ticker/ticker.ts";
import { toMs } from "./_pair.ts";

/** Counts reloads of the config. */
export function countReloads(ctx: CommandContext): { readonly count: number } {
  const reloads = { count: 0 };
  ctx.onReload(() => reloads.count++);
  return reloads;
}

/** A ticker's options, each read from the config as it is then. */
export function tickerOptions(ctx: CommandContext, own: {
  target(): Target;
  statsPeriodMs(): number;
  signal: AbortSignal;
  whenTaken: TickerOptions["whenTaken"];
  ready(): Promise<void> | void;
}): TickerOptions {
  const reloads = countReloads(ctx);
  return {
    log: ctx.log,
    signal: own.signal,
    whenTaken: own.whenTaken,
    ready: own.ready,
    get target() {
      return own.target();
    },
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
    get errorPauseMaxMs() {
      return toMs(ctx.config.get("exception_sleep"));
    },
    get connectionLifetimeMs() {
      return toMs(ctx.config.get("connection_lifetime"));
    },
    get reloadCount() {
      return reloads.count;
    },
  };
}
