import { messageOf } from "../base/errors.ts";
import { type CommandContext, defineCommand } from "../cli/command.ts";
import type { Pair } from "../engine/nodes/choice.ts";
import { requireLeaf, requireRoot } from "../engine/nodes/node.ts";
import { resetPosition, rewindQueue } from "../engine/nodes/position.ts";
import { STOP_REPLAY_HINT, takeJobLock } from "../engine/replay/job_lock.ts";
import type { ErrorPolicy } from "../engine/replay/refusal.ts";
import { type ReplayOptions, runReplay } from "../engine/replay/worker.ts";
import { countReloads, tickBeside, whenReachable } from "./_daemon.ts";
import { errorPolicy } from "./_policy.ts";
import { withPair } from "./_pair.ts";
import { providerTarget, subscriberTarget, toBytes, toMs } from "./_targets.ts";

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
          ticking ??= tickBeside(ctx, "replay", end.signal);
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
    await takeJobLock(pair.subscriber, {
      queue,
      worker,
      hint: STOP_REPLAY_HINT,
      log: ctx.log,
      signal: ctx.signal,
    });
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
      return toBytes(ctx.config.get("copy_chunk_mb"));
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
