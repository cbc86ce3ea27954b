// The subscriber's consumer on the provider's queue, apart from the node.

import type { Logger } from "../../base/log.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { getTableList, moveTableState } from "../../queue/londiste.ts";
import { consumerNames, getConsumerInfo, registerConsumer, unregisterConsumer } from "../../queue/pgq.ts";
import { getSubscriberInfo, setConsumerCompleted } from "../../queue/pgq_node.ts";
import { requireLeaf, requireRoot } from "./pair.ts";

interface Pair {
  readonly provider: SqlConnection;
  readonly subscriber: SqlConnection;
}

/**
 * Registers the worker on the provider's queue. If it was not there it has missed events, so the subscriber takes the
 * new position and copies its tables again.
 */
export async function registerSubscriber(pair: Pair, queue: string, worker: string, log: Logger): Promise<void> {
  await requireRoot(pair.provider, queue);
  const node = await requireLeaf(pair.subscriber, queue);
  if (!await registerConsumer(pair.provider, queue, worker)) {
    log.info(`Consumer ${worker} is registered already`);
    return;
  }
  const position = (await getConsumerInfo(pair.provider, queue, worker))!.last_tick!;
  const known = await getSubscriberInfo(pair.provider, queue);
  if (!known.some((info) => info.node_name === node.node_name)) {
    log.warning(`Node ${node.node_name} is unknown on the provider: run \`skyq subscriber install\``);
  }
  await resetTables(pair.subscriber, queue);
  await setConsumerCompleted(pair.subscriber, queue, worker, position);
  log.info(`Consumer ${worker} registered at tick ${position}; its tables will be copied again`);
}

/** Takes the worker and its copies off the provider's queue, and sets all tables back to "not copied". */
export async function unregisterSubscriber(pair: Pair, queue: string, worker: string, log: Logger): Promise<void> {
  await requireRoot(pair.provider, queue);
  await requireLeaf(pair.subscriber, queue);
  // First the tables: a crash in between leaves copies to be made, not rows that were missed.
  await resetTables(pair.subscriber, queue);
  for (const name of await consumerNames(pair.provider, queue)) {
    if (name !== worker && !name.startsWith(`${worker}.copy.`)) continue;
    await unregisterConsumer(pair.provider, queue, name);
    log.info(`Consumer ${name} unregistered`);
  }
}

async function resetTables(subscriber: SqlConnection, queue: string): Promise<void> {
  await subscriber.transaction(async (tx) => {
    for (const row of await getTableList(tx, queue)) {
      if (!row.local || row.merge_state === null) continue;
      await moveTableState(tx, { queue, table: row.table_name, from: row.merge_state, to: null, snapshot: null });
    }
  });
}
