import { messageOf } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { type CommandContext, defineCommand } from "../cli/command.ts";
import type { Pair } from "../engine/nodes/choice.ts";
import { requireLeaf, requireRoot } from "../engine/nodes/pair.ts";
import { resetPosition, rewindQueue } from "../engine/nodes/position.ts";
import { takeJobLock } from "../engine/replay/job_lock.ts";
import type { ErrorPolicy } from "../engine/replay/refusal.ts";
import { type ReplayOptions, runReplay } from "../engine/replay/worker.ts";
import { runTicker } from "../engine/ticker/ticker.ts";
import { countReloads, tickerOptions, whenReachable } from "./_daemon.ts";
import { errorPolicy } from "./_policy.ts";
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
      await withPosition(ctx, (pair, queue) => rewindQueue(pair, queue, worker, log));
      return;
    }
    if (options.reset) {
      await withPosition(ctx, (pair, queue) => resetPosition(pair, queue, worker, log));
      return;
    }
    const end = new AbortController();
    let ticking: Promise<void> | null = null;
    try {
      await whenReachable(ctx, (ready) =>
        runReplay(replayOptions(ctx, () => {
          ticking ??= tickBeside(ctx, end.signal);
          return ready();
        })));
    } finally {
      end.abort();
      await ticking;
    }
  },
});

/** The pair, with the job's lock held: a replay that runs elsewhere would have its position moved under it. */
async function withPosition(ctx: CommandContext, work: (pair: Pair, queue: string) => Promise<void>): Promise<void> {
  await withPair(ctx, async (pair, queue) => {
    await requireRoot(pair.provider, queue);
    await requireLeaf(pair.subscriber, queue);
    const worker = ctx.config.need("pgq_consumer_id");
    await takeJobLock(pair.subscriber, { queue, worker, log: ctx.log, signal: ctx.signal });
    await work(pair, queue);
  });
}

function replayOptions(ctx: CommandContext, ready: ReplayOptions["ready"]): ReplayOptions {
  const reloads = countReloads(ctx);
  const policy = policyAfterReloads(ctx);
  return {
    // What names the job does not change while it runs.
    queue: ctx.config.need("pgq_queue_name"),
    worker: ctx.config.need("pgq_consumer_id"),
    log: ctx.log,
    signal: ctx.signal,
    ready,
    get provider() {
      return providerTarget(ctx.config);
    },
    get subscriber() {
      return subscriberTarget(ctx.config);
    },
    get loopDelayMs() {
      return toMs(ctx.config.get("loop_delay"));
    },
    get lockTimeoutMs() {
      return toMs(ctx.config.get("lock_timeout"));
    },
    get connectionLifetimeMs() {
      return toMs(ctx.config.get("connection_lifetime"));
    },
    get errorPauseMaxMs() {
      return toMs(ctx.config.get("exception_sleep"));
    },
    get parallelCopies() {
      return ctx.config.get("parallel_copies");
    },
    get copyConnections() {
      return ctx.config.get("copy_connections");
    },
    get copyChunkBytes() {
      return toMebibytes(ctx.config.get("copy_chunk_mb"));
    },
    get arenaBytes() {
      return arenaBytesWithin(ctx.config.get("memory_mb"));
    },
    get policy() {
      return policy();
    },
    get reloadCount() {
      return reloads.count;
    },
  };
}

/** MiB of the config as the bytes of the code. */
function toMebibytes(mb: number): number {
  return Math.max(1, Math.round(mb * 1024 * 1024));
}

/** The policy as the config has it; after a reload that cannot be understood the one before. */
function policyAfterReloads(ctx: CommandContext): () => ErrorPolicy {
  let policy = errorPolicy(ctx.config);
  ctx.onReload((config) => {
    try {
      policy = errorPolicy(config);
    } catch (error) {
      ctx.log.error(`${messageOf(error)}; on_error and on_error_tables stay as they were`);
    }
  });
  return () => policy;
}

/** A codec takes about 3.6 times its arena. @param memoryMb bound for the whole, in MiB */
function arenaBytesWithin(memoryMb: number): number {
  return Math.max(1, Math.floor(memoryMb / 4)) * 1024 * 1024;
}

/** The replay's own ticker: it gives way to any other, and takes over when that one ends. */
async function tickBeside(ctx: CommandContext, signal: AbortSignal): Promise<void> {
  const { config, log } = ctx;
  if (config.get("ticker") === "off") return;
  try {
    await runTicker(tickerOptions(ctx, {
      log: besideLog(log),
      target: () => providerTarget(ctx.config),
      statsPeriodMs: () => toMs(ctx.config.get("keepalive_stats")),
      signal,
      whenTaken: config.get("ticker") === "on" ? "fail" : "stand-by",
      ready: () => log.info("Ticking the queue"),
    }));
  } catch (error) {
    log.error(`No ticker runs beside this replay: ${messageOf(error)}`);
  }
}

/** A replay's log is about the replay: the ticker beside it says that it is one, and is silent when it counted nothing. */
function besideLog(log: Logger): Logger {
  const named = (message: string) => `Beside the replay: ${message}`;
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
