// A pair of Londiste is taken over by skyq, or given back.

import { SkyqError } from "../../base/errors.ts";
import { STOP_REPLAY_HINT, takeJobLock } from "../replay/job_lock.ts";
import { takeOverLondiste2 } from "./londiste2.ts";
import { giveBackLondiste3, takeOverLondiste3 } from "./londiste3.ts";
import { choosePlan, lookAt, type Pair, type UpgradeJob } from "./look.ts";
import { swapTriggers } from "./triggers.ts";
import { type GiveBack, giveBackLondiste2 } from "./undo2.ts";

/**
 * Takes a pair over. Holds the job's lock, so that no replay of skyq runs meanwhile.
 * @param options `check` says what would be done and changes nothing; `keepTriggers` leaves the triggers of Londiste 2.1
 * @throws {SkyqError} `already-running` (a daemon of either), `not-found` (nothing to take over), `refused`,
 * `lost-position`, `lock-timeout`
 */
export async function upgradePair(
  pair: Pair,
  job: UpgradeJob,
  { check, keepTriggers }: { check: boolean; keepTriggers: boolean },
): Promise<void> {
  const { queue, worker, log, signal } = job;
  await takeJobLock(pair.subscriber, { queue, worker, hint: STOP_REPLAY_HINT, log, signal });
  const sides = await lookAtBoth(pair, job);
  switch (choosePlan(sides.provider, sides.subscriber, job)) {
    case "own":
      log.info(`Nothing to upgrade: queue "${queue}" was set up by skyq`);
      return;
    case "done":
      log.info(
        `Nothing to upgrade: worker "${worker}" of queue "${queue}" was taken over at ` +
          `${sides.subscriber.record!.upgraded_at} already`,
      );
      return;
    case "londiste-3":
      await takeOverLondiste3(pair, sides, job, { check });
      break;
    case "londiste-2.1":
      await takeOverLondiste2(pair, sides, job, { check });
      if (!check && !keepTriggers) await swapTriggers(pair.provider, job);
      if (!check) log.info(`Queue "${queue}" is skyq's now: start \`skyq replay\``);
      break;
  }
  if (check) log.info("Nothing was changed (--dry-run)");
}

/**
 * Gives a pair back to the Londiste it was taken from.
 * @throws {SkyqError} `not-found` when it was not taken from any, `already-running`, `refused`
 */
export async function undoUpgrade(pair: Pair, job: UpgradeJob, how: GiveBack): Promise<void> {
  const { queue, worker, log, signal } = job;
  await takeJobLock(pair.subscriber, { queue, worker, hint: STOP_REPLAY_HINT, log, signal });
  const sides = await lookAtBoth(pair, job);
  const record = sides.subscriber.record ?? sides.provider.record;
  if (record === null) {
    throw new SkyqError("not-found", `Nothing to undo: queue "${queue}" was not taken over for worker "${worker}"`, {
      hint: "pgq_queue_name and pgq_consumer_id have to be those of the upgrade.",
    });
  }
  if (record.from_version === "3") await giveBackLondiste3(pair, job, how);
  else await giveBackLondiste2(pair, sides, job, how);
  if (how.check) log.info("Nothing was changed (--dry-run)");
}

async function lookAtBoth(pair: Pair, job: UpgradeJob) {
  return {
    provider: await lookAt(pair.provider, "provider", job),
    subscriber: await lookAt(pair.subscriber, "subscriber", job),
  };
}
