import { SkyqError } from "../base/errors.ts";
import { type CommandContext, defineCommand } from "../cli/command.ts";
import type { UpgradeJob } from "../engine/upgrade/look.ts";
import { undoUpgrade, upgradePair } from "../engine/upgrade/upgrade.ts";
import { withPair } from "./_pair.ts";
import { providerTarget, subscriberTarget, toMs } from "./_targets.ts";
import { replay } from "./replay.ts";

export const upgrade = defineCommand({
  name: "upgrade",
  summary: "Take over a pair of Londiste 2.1 or 3, or give it back",
  details:
    "Positions, table states, sequences, pending keys and triggers are carried over: no table is copied again. Stop the " +
    "replay or worker of Londiste first, leave the ticker running, and start `skyq replay` afterwards; applications " +
    "write on all the time. Killed half way, it is finished by running it again.\n\n" +
    "Londiste 2.1: pgq_queue_name and pgq_consumer_id (default: job_name) are those of its config. Its schema londiste " +
    "is renamed to londiste_v2 and kept for --undo; drop it when there is no way back to be. A schema pgq of 2.1 " +
    "becomes 3.5, and stays so. Triggers are replaced one table at a time, once no other consumer reads the queue.\n\n" +
    "Londiste 3: job_name must be the leaf's node name, pgq_consumer_id its worker's; other nodes of the cascade stay " +
    "with Londiste.\n\n" +
    "--undo gives the pair back, at the position that skyq has reached. Stop `skyq replay` first.",
  examples: ["skyq upgrade conf.ini --dry-run", "skyq upgrade conf.ini", "skyq upgrade conf.ini --undo"],
  config: "pair",
  options: {
    dryRun: { kind: "flag", help: "check everything and say what would be done, change nothing", alias: "n" },
    undo: { kind: "flag", help: "give the pair back to Londiste" },
    keepTriggers: {
      kind: "flag",
      help: "leave the triggers of Londiste 2.1 on the provider's tables: slower to replay",
    },
  },
  async run(ctx, { dryRun, undo, keepTriggers }) {
    if (undo && keepTriggers) throw new SkyqError("usage", "Too many options: --undo and --keep-triggers");
    await withPair(ctx, async (pair, queue) => {
      const job = jobOf(ctx, queue);
      if (!undo) {
        await upgradePair(pair, job, { check: dryRun, keepTriggers });
        return;
      }
      await undoUpgrade(pair, job, {
        check: dryRun,
        replay: async (signal) => {
          const beside: CommandContext = { ...ctx, config: ctx.config, signal, onReload() {}, ready: async () => {} };
          await replay.run(beside, { rewind: false, reset: false }, []);
        },
      });
    });
  },
});

function jobOf(ctx: CommandContext, queue: string): UpgradeJob {
  const { config, log, signal } = ctx;
  return {
    queue,
    worker: config.need("pgq_consumer_id"),
    jobName: config.jobName,
    providerNode: config.need("provider_node"),
    locations: { provider: providerTarget(config).redacted, subscriber: subscriberTarget(config).redacted },
    lockTimeoutMs: toMs(config.get("lock_timeout")),
    ticks: config.get("ticker") !== "off",
    log,
    signal,
  };
}
