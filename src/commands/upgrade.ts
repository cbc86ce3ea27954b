import { defineCommand } from "../cli/command.ts";
import { upgradePair } from "../engine/upgrade/upgrade.ts";
import { providerTarget, subscriberTarget, toMs, withPair } from "./_pair.ts";

export const upgrade = defineCommand({
  name: "upgrade",
  summary: "Take over a pair of Londiste 3, or give it back",
  details:
    "Positions, table states, sequences, pending keys and triggers are carried over: no table is copied again. Stop the " +
    "replay or worker of Londiste first, leave the ticker running, and start `skyq replay` afterwards; applications " +
    "write on all the time. Killed half way, it is finished by running it again.\n\n" +
    "Londiste 3: job_name must be the leaf's node name, pgq_consumer_id its worker's; other nodes of the cascade stay " +
    "with Londiste.\n\n" +
    "--undo gives the pair back, at the position that skyq has reached.",
  examples: ["skyq upgrade conf.ini --dry-run", "skyq upgrade conf.ini", "skyq upgrade conf.ini --undo"],
  config: "pair",
  options: {
    dryRun: { kind: "flag", help: "check everything and say what would be done, change nothing" },
    undo: { kind: "flag", help: "give the pair back to Londiste" },
  },
  run(ctx, options) {
    const { config, log, signal } = ctx;
    return withPair(ctx, (pair, queue) =>
      upgradePair(pair, {
        queue,
        worker: config.need("pgq_consumer_id"),
        jobName: config.jobName,
        providerNode: config.need("provider_node"),
        locations: {
          provider: providerTarget(config).redacted,
          subscriber: subscriberTarget(config).redacted,
        },
        lockTimeoutMs: toMs(config.get("lock_timeout")),
        log,
        signal,
      }, options));
  },
});
