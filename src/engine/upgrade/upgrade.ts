// A pair of Londiste is taken over by skyq, or given back.

import { SkyqError } from "../../base/errors.ts";
import { takeJobLock } from "../replay/job_lock.ts";
import { giveBackLondiste3, takeOverLondiste3 } from "./londiste3.ts";
import { choosePlan, lookAt, type Pair, type UpgradeJob } from "./look.ts";

export interface UpgradeOptions {
  /** Check and say what would be done, change nothing. */
  readonly dryRun: boolean;
  /** Give back what was taken over. */
  readonly undo: boolean;
}

/**
 * Takes a pair over, or gives it back. Holds the job's lock, so that no replay of skyq runs meanwhile.
 * @throws {SkyqError} `already-running` (a daemon of either), `not-found` (nothing to do it with), `refused`
 */
export async function upgradePair(pair: Pair, job: UpgradeJob, options: UpgradeOptions): Promise<void> {
  const { queue, worker, log, signal } = job;
  await takeJobLock(pair.subscriber, { queue, worker, log, signal });
  const sides = {
    provider: await lookAt(pair.provider, "provider", job),
    subscriber: await lookAt(pair.subscriber, "subscriber", job),
  };
  const record = sides.subscriber.record ?? sides.provider.record;
  if (options.undo) {
    if (record === null) {
      throw new SkyqError("not-found", `Nothing to undo: queue "${queue}" was not taken over for worker "${worker}"`, {
        hint: "pgq_queue_name and pgq_consumer_id have to be those of the upgrade.",
      });
    }
    await giveBackLondiste3(pair, job, { check: options.dryRun });
    if (options.dryRun) log.info("Nothing was changed (--dry-run)");
    return;
  }
  switch (choosePlan(sides.provider, sides.subscriber, job)) {
    case "own":
      log.info(`Nothing to upgrade: queue "${queue}" was set up by skyq`);
      return;
    case "done":
      log.info(
        `Nothing to upgrade: worker "${worker}" of queue "${queue}" was taken over at ${record!.upgraded_at} already`,
      );
      return;
    case "londiste-3":
      await takeOverLondiste3(pair, sides, job, { check: options.dryRun });
      break;
    case "londiste-2.1":
      throw new SkyqError("refused", `Cannot upgrade queue "${queue}": this is Londiste 2.1`);
  }
  if (options.dryRun) log.info("Nothing was changed (--dry-run)");
}
