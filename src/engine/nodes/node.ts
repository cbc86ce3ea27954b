// Which node of a queue a database is.

import { SkyqError } from "../../base/errors.ts";
import type { Queryable } from "../../db/queryable.ts";
import { getNodeInfo, type NodeInfo } from "../../queue/pgq_node.ts";

/** @throws {SkyqError} `not-installed` when the database is not the root of this queue */
export async function requireRoot(db: Queryable, queue: string): Promise<NodeInfo> {
  const node = await findNode(db, queue);
  if (node === null || node.node_type !== "root") {
    throw new SkyqError(
      "not-installed",
      node === null
        ? `Event queue does not exist yet: the provider has no queue "${queue}"`
        : `Cannot use the provider: its node of queue "${queue}" is a ${node.node_type}`,
      { hint: "Run `skyq provider install` first; pgq_queue_name and provider_db must be the same there." },
    );
  }
  return node;
}

/** @throws {SkyqError} `not-installed` when the database is no node of this queue */
export async function requireLeaf(db: Queryable, queue: string): Promise<NodeInfo> {
  const node = await findNode(db, queue);
  if (node === null) {
    throw new SkyqError("not-installed", `Cannot use the subscriber: it has no node of queue "${queue}"`, {
      hint: "Run `skyq subscriber install` first; pgq_queue_name and subscriber_db must be the same there.",
    });
  }
  return node;
}

async function findNode(db: Queryable, queue: string): Promise<NodeInfo | null> {
  const there = await db.query(
    "select 1 where pg_catalog.to_regprocedure('pgq_node.get_node_info(text)') is not null",
  );
  return there.length === 0 ? null : await getNodeInfo(db, queue);
}
