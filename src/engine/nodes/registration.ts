// The subscriber as the provider knows it: its node, and the consumers that hold the queue's events for it.

import type { Logger } from "../../base/log.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { getTableList, moveTableState } from "../../queue/londiste.ts";
import { consumerNames, unregisterConsumer } from "../../queue/pgq.ts";
import {
  getSubscriberInfo,
  registerLocation,
  registerSubscriber as registerOnProvider,
  setConsumerCompleted,
  unregisterSubscriber as unregisterOnProvider,
} from "../../queue/pgq_node.ts";
import { requireLeaf, requireRoot } from "./pair.ts";

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
  if ((await getSubscriberInfo(pair.provider, queue)).some((info) => info.node_name === node.node_name)) {
    log.info(`Subscriber ${node.node_name} is registered already`);
    return;
  }
  const position = await pair.provider.transaction(async (tx) => {
    await registerLocation(tx, queue, node.node_name, job.location);
    return (await registerOnProvider(tx, queue, node.node_name, job.worker)).global_watermark;
  });
  await resetTables(pair.subscriber, queue);
  await setConsumerCompleted(pair.subscriber, queue, job.worker, position);
  log.info(`Subscriber ${node.node_name} registered at tick ${position}; its tables will be copied again`);
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
