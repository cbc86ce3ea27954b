import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { getConsumerInfo, registerConsumerAt } from "../../queue/pgq.ts";
import { getConsumerState, setConsumerCompleted } from "../../queue/pgq_node.ts";

/**
 * Moves the worker's position on the provider's queue to what the subscriber has: after the provider was restored, or
 * the consumer was moved by hand.
 */
export async function rewindQueue(
  pair: { provider: SqlConnection; subscriber: SqlConnection },
  queue: string,
  worker: string,
  log: Logger,
): Promise<void> {
  const state = await getConsumerState(pair.subscriber, queue, worker);
  if (state?.completed_tick == null) {
    log.warning("No tick found on dst side");
    return;
  }
  log.info(`Rewinding queue to tick ${state.completed_tick}`);
  await registerConsumerAt(pair.provider, queue, worker, state.completed_tick);
}

/**
 * Makes the subscriber take the queue's position for its own: the next batch is applied, whatever came before it. Rows
 * of batches in between are lost or doubled; a resync of the tables mends that.
 * @throws {SkyqError} `not-found` when the worker is not registered on both sides
 */
export async function resetPosition(
  pair: { provider: SqlConnection; subscriber: SqlConnection },
  queue: string,
  worker: string,
  log: Logger,
): Promise<void> {
  const position = (await getConsumerInfo(pair.provider, queue, worker))?.last_tick;
  const state = await getConsumerState(pair.subscriber, queue, worker);
  if (position == null || state === null) {
    throw new SkyqError("not-found", `No info about consumer "${worker}", cannot reset`, {
      hint: "Run `skyq subscriber install` first.",
    });
  }
  log.info("Resetting queue tracking on dst side");
  await setConsumerCompleted(pair.subscriber, queue, worker, position);
}
