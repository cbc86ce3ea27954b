// Step 1 of 7: take the next batch, and find out whether it was applied already.

import { SkyqError } from "../../base/errors.ts";
import { type Batch, nextBatch } from "../../queue/pgq.ts";
import { type ConsumerState, getConsumerState } from "../../queue/pgq_node.ts";
import type { Path } from "./path.ts";

export interface OpenBatch extends Batch {
  /** The subscriber has it: we died between its commit and `finishBatch`. */
  readonly isApplied: boolean;
}

/**
 * Opens the consumer's next batch (or the one still open) and checks the subscriber's position against it.
 * @param known the consumer's state, where it was just read: who holds the job's lock is the only one to move it
 * @returns null when no batch is ready
 * @throws {SkyqError} `lost-position` when the batch neither follows nor equals what the subscriber has
 */
export async function openBatch(path: Path, known: ConsumerState | null = null): Promise<OpenBatch | null> {
  const batch = await nextBatch(path.provider, path.queue, path.consumer);
  if (batch === null) return null;
  const state = known ?? await getConsumerState(path.subscriber, path.queue, path.consumer);
  if (state === null) {
    throw new SkyqError(
      "not-installed",
      `Cannot replay queue "${path.queue}": consumer "${path.consumer}" is not registered on the subscriber`,
      { hint: "Run `skyq subscriber install` (or `skyq subscriber register`) first." },
    );
  }
  return { ...batch, isApplied: isAlreadyApplied(batch, state.completed_tick) };
}

/**
 * The position rule: the subscriber's tick equals the batch's start (apply), its end (was applied), or the queue and
 * the subscriber have lost each other.
 */
export function isAlreadyApplied(
  batch: Pick<Batch, "prevTickId" | "tickId" | "queue">,
  completedTick: bigint | null,
): boolean {
  if (completedTick === batch.prevTickId || completedTick === null) return false;
  if (completedTick === batch.tickId) return true;
  throw new SkyqError(
    "lost-position",
    `Lost position: batch ${batch.prevTickId}..${batch.tickId}, dst has ${completedTick}`,
    {
      hint:
        "One of the databases was restored or the consumer was moved. `replay --rewind` moves the queue back to the " +
        "subscriber's position; `replay --reset` forgets that position.",
      facts: { queue: batch.queue },
    },
  );
}
