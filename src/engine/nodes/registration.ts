// The subscriber as the provider knows it: its node, and the consumers that hold the queue's events for it.

import type { Logger } from "../../base/log.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { getTableList, moveTableState } from "../../queue/londiste.ts";
import { consumerNames, getConsumerInfo, unregisterConsumer } from "../../queue/pgq.ts";
import {
  getConsumerState,
  getSubscriberInfo,
  registerLocation,
  registerSubscriber as registerOnProvider,
  setConsumerCompleted,
  unregisterSubscriber as unregisterOnProvider,
} from "../../queue/pgq_node.ts";
import { requireLeaf, requireRoot } from "./node.ts";

interface Pair {
  readonly provider: SqlConnection;
  readonly subscriber: SqlConnection;
}

/**
 * Registers the node and its worker on the provider's queue. If they were not there they have missed events, so the
 * subscriber takes the new position and copies its tables again.
 */
export async function registerSubscriber(
  pair: Pair,
  queue: string,
  job: { worker: string; location: string },
  log: Logger,
): Promise<void> {
  await requireRoot(pair.provider, queue);
  const node = await requireLeaf(pair.subscriber, queue);
  const isKnown = (await getSubscriberInfo(pair.provider, queue)).some((info) => info.node_name === node.node_name);
  if (isKnown && !await isHalfRegistered(pair, queue, job.worker)) {
    log.info(`Subscriber ${node.node_name} is registered already`);
    return;
  }
  // The tables come first and the position last: after a crash in between, tables that missed events are not called in
  // sync, and the next call goes on from here.
  await resetTables(pair.subscriber, queue);
  if (!isKnown) {
    await pair.provider.transaction(async (tx) => {
      await registerLocation(tx, queue, node.node_name, job.location);
      await registerOnProvider(tx, queue, node.node_name, job.worker);
    });
  }
  const position = (await getConsumerInfo(pair.provider, queue, job.worker))!.last_tick!;
  await setConsumerCompleted(pair.subscriber, queue, job.worker, position);
  log.info(`Subscriber ${node.node_name} registered at tick ${position}; its tables will be copied again`);
}

/** Whether an earlier registration ended before the subscriber took its position, so that nothing can be replayed. */
async function isHalfRegistered(pair: Pair, queue: string, worker: string): Promise<boolean> {
  const there = await getConsumerInfo(pair.provider, queue, worker);
  const here = (await getConsumerState(pair.subscriber, queue, worker))?.completed_tick;
  if (there === null || here === there.last_tick || here === there.next_tick) return false;
  const rows = await getTableList(pair.subscriber, queue);
  return rows.every((row) => !row.local || row.merge_state === null);
}

/** Takes the node off the provider's queue, and sets all its tables back to "not copied". */
export async function unregisterSubscriber(pair: Pair, queue: string, worker: string, log: Logger): Promise<void> {
  const node = await requireLeaf(pair.subscriber, queue);
  // First the tables: a crash in between leaves copies to be made, not rows that were missed.
  await resetTables(pair.subscriber, queue);
  await retireSubscriber(pair.provider, queue, { node: node.node_name, worker }, log);
}

/** Takes a node off the provider's queue whose own database may be gone: the queue keeps no events for it any more. */
export async function retireSubscriber(
  provider: SqlConnection,
  queue: string,
  subscriber: { node: string; worker: string },
  log: Logger,
): Promise<void> {
  await requireRoot(provider, queue);
  await provider.transaction(async (tx) => {
    if (await unregisterOnProvider(tx, queue, subscriber.node)) log.info(`Subscriber ${subscriber.node} unregistered`);
    else log.info(`Subscriber ${subscriber.node} was not registered`);
    for (const name of await consumerNames(tx, queue)) {
      if (!name.startsWith(`${subscriber.worker}.copy.`)) continue;
      await unregisterConsumer(tx, queue, name);
      log.info(`Consumer ${name} unregistered`);
    }
  });
}

async function resetTables(subscriber: SqlConnection, queue: string): Promise<void> {
  await subscriber.transaction(async (tx) => {
    for (const row of await getTableList(tx, queue)) {
      if (!row.local || row.merge_state === null) continue;
      await moveTableState(tx, { queue, table: row.table_name, from: row.merge_state, to: null, snapshot: null });
    }
  });
}
