import { SkyqError } from "../base/errors.ts";
import { one, type Queryable } from "../db/queryable.ts";
import { notRegistered } from "./pgq.ts";

/** What the functions of `pgq_node` and `londiste` return: codes below 300 are success, from 300 on a refusal. */
export interface Ret {
  ret_code: number;
  ret_note: string;
}

/** @throws {SkyqError} `refused` with the function's note when the code says failure */
export function checkRet<R extends Ret>(row: R, act: string): R {
  if (row.ret_code >= 300) {
    throw new SkyqError("refused", `${act}: ${row.ret_note}`, { facts: { code: row.ret_code } });
  }
  return row;
}

async function call<R extends Ret>(db: Queryable, act: string, sql: string, params: Parameters<Queryable["query"]>[1]) {
  return checkRet(await one<R>(db, sql, params), act);
}

export type NodeType = "root" | "branch" | "leaf";

export interface NodeInfo extends Ret {
  node_type: NodeType;
  node_name: string;
  global_watermark: bigint | null;
  local_watermark: bigint | null;
  provider_node: string | null;
  provider_location: string | null;
  combined_queue: string | null;
  worker_name: string;
  worker_paused: boolean;
  worker_uptodate: boolean;
  worker_last_tick: bigint | null;
}

/** pgq_node.get_node_info. @returns null when there is no node of this queue here */
export async function getNodeInfo(db: Queryable, queue: string): Promise<NodeInfo | null> {
  const row = await one<NodeInfo>(
    db,
    `select ret_code, ret_note, node_type, node_name, global_watermark, local_watermark, provider_node,
            provider_location, combined_queue, worker_name, worker_paused, worker_uptodate, worker_last_tick
       from pgq_node.get_node_info($1)`,
    [queue],
  );
  return row.ret_code === 404 ? null : checkRet(row, `Cannot read node of queue "${queue}"`);
}

export interface ConsumerState extends Ret {
  node_type: NodeType;
  node_name: string;
  completed_tick: bigint | null;
  provider_node: string | null;
  provider_location: string | null;
  paused: boolean;
  uptodate: boolean;
  cur_error: string | null;
}

/** pgq_node.get_consumer_state: the position of a cascaded consumer on its target. @returns null when unknown there */
export async function getConsumerState(db: Queryable, queue: string, consumer: string): Promise<ConsumerState | null> {
  const row = await one<ConsumerState>(
    db,
    `select ret_code, ret_note, node_type, node_name, completed_tick, provider_node, provider_location, paused,
            uptodate, cur_error
       from pgq_node.get_consumer_state($1, $2)`,
    [queue, consumer],
  );
  return row.ret_code === 404 ? null : checkRet(row, `Cannot read state of consumer "${consumer}"`);
}

/** pgq_node.register_location: makes a member of the set known. A null location keeps the old one. */
export function registerLocation(db: Queryable, queue: string, node: string, location: string | null): Promise<Ret> {
  return call(
    db,
    `Cannot register location of node "${node}"`,
    "select ret_code, ret_note from pgq_node.register_location($1, $2, $3, false)",
    [queue, node, location],
  );
}

/** pgq_node.create_node. `provider`, `watermark` are null for a root. */
export function createNode(db: Queryable, node: {
  queue: string;
  type: NodeType;
  name: string;
  worker: string;
  provider: string | null;
  watermark: bigint | null;
}): Promise<Ret> {
  return call(
    db,
    `Cannot create node "${node.name}"`,
    "select ret_code, ret_note from pgq_node.create_node($1, $2, $3, $4, $5, $6, null)",
    [node.queue, node.type, node.name, node.worker, node.provider, node.watermark],
  );
}

export interface SubscriberRegistered extends Ret {
  global_watermark: bigint;
}

/** pgq_node.register_subscriber, on the provider. @returns the watermark the new node starts at */
export function registerSubscriber(
  db: Queryable,
  queue: string,
  node: string,
  worker: string,
): Promise<SubscriberRegistered> {
  return call<SubscriberRegistered>(
    db,
    `Cannot register subscriber "${node}"`,
    "select ret_code, ret_note, global_watermark from pgq_node.register_subscriber($1, $2, $3, null)",
    [queue, node, worker],
  );
}

/** pgq_node.unregister_subscriber, on the provider: its row and both its consumers. @returns false when it was not there */
export async function unregisterSubscriber(db: Queryable, queue: string, node: string): Promise<boolean> {
  const ret = await one<Ret>(db, "select ret_code, ret_note from pgq_node.unregister_subscriber($1, $2)", [
    queue,
    node,
  ]);
  if (ret.ret_code === 304) return false;
  checkRet(ret, `Cannot unregister subscriber "${node}"`);
  return true;
}

export interface SubscriberInfo {
  node_name: string;
  worker_name: string;
  node_watermark: bigint;
}

/** pgq_node.get_subscriber_info, on the provider. */
export function getSubscriberInfo(db: Queryable, queue: string): Promise<SubscriberInfo[]> {
  return db.query("select node_name, worker_name, node_watermark from pgq_node.get_subscriber_info($1)", [queue]);
}

export interface Location {
  node_name: string;
  node_location: string;
  dead: boolean;
}

/** pgq_node.get_queue_locations: all known members of the set. */
export function getQueueLocations(db: Queryable, queue: string): Promise<Location[]> {
  return db.query("select node_name, node_location, dead from pgq_node.get_queue_locations($1)", [queue]);
}

/** pgq_node.register_consumer, on the target: the consumer's position there starts at `tickId`; known: it is moved. */
export function registerTargetConsumer(
  db: Queryable,
  queue: string,
  consumer: string,
  providerNode: string,
  tickId: bigint,
): Promise<Ret> {
  return call(
    db,
    `Cannot register consumer "${consumer}"`,
    "select ret_code, ret_note from pgq_node.register_consumer($1, $2, $3, $4)",
    [queue, consumer, providerNode, tickId],
  );
}

/** pgq_node.unregister_consumer, on the target. */
export function unregisterTargetConsumer(db: Queryable, queue: string, consumer: string): Promise<Ret> {
  return call(
    db,
    `Cannot unregister consumer "${consumer}"`,
    "select ret_code, ret_note from pgq_node.unregister_consumer($1, $2)",
    [queue, consumer],
  );
}

/** pgq_node.set_consumer_completed: the applied mark; runs in the transaction that holds the rows. */
export function setConsumerCompleted(db: Queryable, queue: string, consumer: string, tickId: bigint): Promise<Ret> {
  return call(
    db,
    `Cannot mark tick ${tickId} as applied`,
    "select ret_code, ret_note from pgq_node.set_consumer_completed($1, $2, $3)",
    [queue, consumer, tickId],
  );
}

/** pgq_node.set_consumer_error: what `status` shows; null clears it. */
export function setConsumerError(db: Queryable, queue: string, consumer: string, text: string | null): Promise<Ret> {
  return call(
    db,
    `Cannot store the error of consumer "${consumer}"`,
    "select ret_code, ret_note from pgq_node.set_consumer_error($1, $2, $3)",
    [queue, consumer, text],
  );
}

/** pgq_node.set_consumer_uptodate: the worker's acknowledgement of a changed provider or pause flag. */
export function setConsumerUptodate(db: Queryable, queue: string, consumer: string): Promise<Ret> {
  return call(
    db,
    `Cannot acknowledge the state of consumer "${consumer}"`,
    "select ret_code, ret_note from pgq_node.set_consumer_uptodate($1, $2, true)",
    [queue, consumer],
  );
}

/**
 * pgq_node.set_subscriber_watermark, on the provider: the lowest tick this node still needs.
 * @throws {SkyqError} `not-registered`, `refused`
 */
export async function setSubscriberWatermark(
  db: Queryable,
  queue: string,
  node: string,
  tickId: bigint,
): Promise<Ret> {
  const ret = await one<Ret>(
    db,
    "select ret_code, ret_note from pgq_node.set_subscriber_watermark($1, $2, $3)",
    [queue, node, tickId],
  );
  if (ret.ret_code === 404) throw notRegistered(queue, node);
  return checkRet(ret, `Cannot publish watermark ${tickId} of node "${node}"`);
}
