// What is in the two databases: a pair of Londiste 2.1, of Londiste 3, or of skyq.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { getNodeInfo, type NodeInfo } from "../../queue/pgq_node.ts";

export interface Pair {
  readonly provider: SqlConnection;
  readonly subscriber: SqlConnection;
}

export type SideName = "provider" | "subscriber";

/** The job of the config that takes the pair over. */
export interface UpgradeJob {
  readonly queue: string;
  /** Consumer on the queue: `pgq_consumer_id`. */
  readonly worker: string;
  /** Names the subscriber's node. */
  readonly jobName: string;
  /** Names the provider's node where there is none yet. */
  readonly providerNode: string;
  /** Connect strings without passwords. */
  readonly locations: { readonly provider: string; readonly subscriber: string };
  readonly lockTimeoutMs: number;
  /** Whether its replay ticks as well. */
  readonly ticks: boolean;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** One row of skyq.upgrade: this side was taken over. */
export interface UpgradeRecord {
  readonly worker_name: string;
  readonly from_version: "2.1" | "3";
  readonly old_schema: string | null;
  readonly upgraded_at: string;
}

export interface Side {
  readonly name: SideName;
  /** The queue's node in this database. */
  readonly node: NodeInfo | null;
  /** Schema with the tables of Londiste 2.1, `londiste` or, after an upgrade, `OLD_SCHEMA`. */
  readonly londiste2: string | null;
  /** Schema londiste (of version 3) was installed by skyq. */
  readonly isOwn: boolean;
  readonly queues: readonly string[];
  /** Tells databases from each other. */
  readonly identity: string;
  /** The job's own. */
  readonly record: UpgradeRecord | null;
}

/** What the schema of Londiste 2.1 is called once skyq's own `londiste` is in its place. */
export const OLD_SCHEMA = "londiste_v2";

/** Reads one side; changes nothing. */
export async function lookAt(db: Queryable, name: SideName, job: UpgradeJob): Promise<Side> {
  const there = await one<
    { pgq: boolean; nodes: boolean; records: boolean; migrations: boolean; v2: string | null; identity: string }
  >(
    db,
    `select to_regclass('pgq.queue') is not null as pgq,
            to_regprocedure('pgq_node.get_node_info(text)') is not null as nodes,
            to_regclass('skyq.upgrade') is not null as records,
            to_regclass('skyq.migration') is not null as migrations,
            concat_ws(' ', pg_postmaster_start_time(), current_setting('port'), current_database()) as identity,
            (select s.name from unnest(array['londiste', $1]) with ordinality s (name, nr)
              where to_regclass(s.name || '.subscriber_table') is not null
                and to_regclass(s.name || '.provider_table') is not null
                and to_regclass(s.name || '.completed') is not null
              order by s.nr limit 1) as v2`,
    [OLD_SCHEMA],
  );
  const queues = there.pgq
    ? await db.query<{ queue_name: string }>("select q.queue_name from pgq.queue q order by q.queue_name")
    : [];
  const records = there.records
    ? await db.query<UpgradeRecord>(
      `select u.worker_name, u.from_version, u.old_schema, to_char(u.upgraded_at, 'YYYY-MM-DD HH24:MI:SS') as upgraded_at
         from skyq.upgrade u where u.queue_name = $1 and u.worker_name = $2 and u.side = $3`,
      [job.queue, job.worker, name],
    )
    : [];
  const own = there.migrations
    ? await db.query("select 1 from skyq.migration m where m.schema_name = 'londiste' limit 1")
    : [];
  return {
    name,
    node: there.nodes ? await getNodeInfo(db, job.queue) : null,
    londiste2: there.v2,
    isOwn: own.length > 0,
    queues: queues.map((row) => row.queue_name),
    identity: there.identity,
    record: records[0] ?? null,
  };
}

/** What is to be done: `done` everything was taken over · `own` the pair was never Londiste's. */
export type Plan = "own" | "done" | "londiste-2.1" | "londiste-3";

/** @throws {SkyqError} `not-found` when there is nothing to take over, `refused` when the two sides do not belong together */
export function choosePlan(provider: Side, subscriber: Side, job: UpgradeJob): Plan {
  const { queue } = job;
  if (provider.identity === subscriber.identity) {
    throw new SkyqError("refused", "Cannot upgrade: provider_db and subscriber_db name the same database", {
      hint: "Name the database that is written to in provider_db, the one it is replicated to in subscriber_db.",
    });
  }
  if (subscriber.record?.from_version === "2.1" || provider.record?.from_version === "2.1") return "londiste-2.1";
  if (subscriber.record !== null) return "done";
  if (provider.node !== null && subscriber.node !== null) {
    return subscriber.isOwn && subscriber.node.worker_name === job.worker ? "own" : "londiste-3";
  }
  // A provider that was taken over for another subscriber has its node already.
  if (subscriber.node === null && subscriber.londiste2 !== null && provider.londiste2 !== null) return "londiste-2.1";
  if (provider.node !== null || subscriber.node !== null) {
    const [there, missing] = provider.node !== null ? [provider, subscriber] : [subscriber, provider];
    throw new SkyqError(
      "not-found",
      `Cannot upgrade: the ${there.name} is ${there.node!.node_type} "${there.node!.node_name}" of queue "${queue}", ` +
        `but the ${missing.name} has no node of it`,
      { hint: `Check ${missing.name}_db. To make it a subscriber from nothing: skyq subscriber install.` },
    );
  }
  const lacking = provider.londiste2 === null ? provider : subscriber;
  throw new SkyqError(
    "not-found",
    provider.londiste2 === null && subscriber.londiste2 === null
      ? `Nothing to upgrade: neither database has tables or nodes of Londiste for queue "${queue}"`
      : `Cannot upgrade: the ${lacking.name} has no schema of Londiste 2.1`,
    {
      hint: provider.queues.length === 0
        ? "Check provider_db and subscriber_db. To begin from nothing: skyq provider install, skyq subscriber install."
        : `Check provider_db, subscriber_db and pgq_queue_name; queues of the provider: ${provider.queues.join(", ")}.`,
    },
  );
}
