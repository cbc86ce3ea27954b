// The manual's pair of databases, seen as nodes: the provider is the root, the subscriber a leaf below it.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import { installSchemas } from "../../db/install.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { getSeqList, getTableList, globalAddTable, globalUpdateSeq } from "../../queue/londiste.ts";
import { getConsumerInfo } from "../../queue/pgq.ts";
import {
  createNode,
  getNodeInfo,
  getQueueLocations,
  getSubscriberInfo,
  registerLocation,
  registerSubscriber,
} from "../../queue/pgq_node.ts";
import { requireRoot } from "./node.ts";

export interface ProviderNode {
  readonly queue: string;
  readonly node: string;
  /** How other nodes reach it: a connect string without a password. */
  readonly location: string;
}

/**
 * Makes a database the provider of a queue: schemas in one transaction, queue and root node in another;
 * repeatable.
 * @throws {SkyqError} `refused` when the queue has a node here that is no root, `privilege`
 */
export async function installProvider(db: SqlConnection, provider: ProviderNode, log: Logger): Promise<void> {
  const { queue, node, location } = provider;
  await installSchemas(db, { log });
  await db.transaction(async (tx) => {
    const there = await getNodeInfo(tx, queue);
    if (there !== null) {
      if (there.node_type !== "root") {
        throw new SkyqError(
          "refused",
          `Cannot install provider: node "${there.node_name}" of queue "${queue}" is a ${there.node_type} here`,
          { hint: "Name another queue with pgq_queue_name, or another database with provider_db." },
        );
      }
      log.info(`Node is already initialized as root`);
      return;
    }
    await registerLocation(tx, queue, node, location);
    await createNode(tx, { queue, type: "root", name: node, worker: node, provider: null, watermark: null });
    log.info(`Node "${node}" initialized for queue "${queue}" with type "root"`);
  });
}

export interface SubscriberNode {
  readonly queue: string;
  /** The node is named after the job. */
  readonly node: string;
  /** Its worker: the consumer that holds the position on the provider's queue. */
  readonly worker: string;
  readonly location: string;
}

/**
 * Makes a database a subscriber: schemas, leaf node, its worker registered on the provider. Repeatable after a crash
 * anywhere: the provider's registration comes first and holds the queue's events for the node that is not there yet.
 * @throws {SkyqError} `not-installed` when the provider has no root of this queue, `refused`, `privilege`
 */
export async function installSubscriber(
  dbs: { provider: SqlConnection; subscriber: SqlConnection },
  subscriber: SubscriberNode,
  log: Logger,
): Promise<void> {
  const { queue, node, worker, location } = subscriber;
  const root = await requireRoot(dbs.provider, queue);
  await installSchemas(dbs.subscriber, { log });
  await dbs.subscriber.transaction(async (tx) => {
    const there = await getNodeInfo(tx, queue);
    if (there !== null) {
      if (there.node_type !== "leaf" || there.node_name !== node) {
        throw new SkyqError(
          "refused",
          `Cannot install subscriber "${node}": the database already is ${there.node_type} "${there.node_name}" of queue "${queue}"`,
          {
            hint: there.node_type === "root"
              ? "provider_db and subscriber_db name the same database?"
              : "One subscriber per queue and database. Use its job_name, or another database.",
          },
        );
      }
      log.info(`Node is already initialized as leaf`);
      return;
    }
    const watermark = await registerOnProvider(dbs.provider, subscriber, log);
    for (const member of await getQueueLocations(dbs.provider, queue)) {
      await registerLocation(tx, queue, member.node_name, member.node_location);
    }
    await registerLocation(tx, queue, node, location);
    await createNode(tx, { queue, type: "leaf", name: node, worker, provider: root.node_name, watermark });
    await learnFromProvider(dbs.provider, tx, queue);
    log.info(`Node "${node}" initialized for queue "${queue}" with type "leaf"`);
  });
}

/** @returns the tick the node begins at */
async function registerOnProvider(provider: SqlConnection, node: SubscriberNode, log: Logger): Promise<bigint> {
  return await provider.transaction(async (tx) => {
    const known = (await getSubscriberInfo(tx, node.queue)).some((info) => info.node_name === node.node);
    const elsewhere = (await getQueueLocations(tx, node.queue)).find((location) =>
      location.node_name === node.node && location.node_location !== node.location
    );
    if (known && elsewhere !== undefined) {
      throw new SkyqError(
        "refused",
        `Cannot install subscriber "${node.node}": queue "${node.queue}" knows a node of that name at "${elsewhere.node_location}"`,
        {
          hint: "Give this job a job_name of its own. If that database is gone for good, retire it first with " +
            "`skyq subscriber unregister CONFIG --gone`.",
        },
      );
    }
    if (known) {
      // An earlier install got this far: go on from where the worker's position is held.
      const position = await getConsumerInfo(tx, node.queue, node.worker);
      if (position?.last_tick != null) return position.last_tick;
    }
    await registerLocation(tx, node.queue, node.node, node.location);
    const registered = await registerSubscriber(tx, node.queue, node.node, node.worker);
    log.info(`Subscriber registered: ${node.node}`);
    return registered.global_watermark;
  });
}

/**
 * Brings the subscriber's list of known tables and sequences up to the provider's. Events do the same as they are
 * replayed; this does not wait for them.
 */
export async function learnFromProvider(provider: Queryable, subscriber: Queryable, queue: string): Promise<void> {
  const known = new Set((await getTableList(subscriber, queue)).map((row) => row.table_name));
  for (const row of await getTableList(provider, queue)) {
    if (row.local && !known.has(row.table_name)) await globalAddTable(subscriber, queue, row.table_name);
  }
  const knownSeqs = new Map((await getSeqList(subscriber, queue)).map((row) => [row.seq_name, row.last_value]));
  for (const row of await getSeqList(provider, queue)) {
    if (knownSeqs.get(row.seq_name) !== row.last_value) {
      await globalUpdateSeq(subscriber, queue, row.seq_name, row.last_value);
    }
  }
}
