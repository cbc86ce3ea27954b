// The state of all queues of a database, and everything about it that will become a problem.

import { counted, formatBytes, formatSeconds } from "../../base/units.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { type ConsumerState, consumerStates, type QueueInfo, queueInfo } from "../../queue/pgq.ts";
import {
  failedEventCounts,
  hasSkyq,
  queuePolicies,
  type QueuePolicy,
  queueSize,
  type RotationHolder,
  rotationHolders,
  transactionIdsBehind,
} from "../../queue/skyq.ts";
import { tickerLockHolder } from "../ticker/lock.ts";
import { requirePgq, requireQueue } from "./names.ts";

export interface QueueStatus extends QueueInfo {
  /** Bytes; null where schema skyq is missing. */
  readonly size: bigint | null;
  readonly max_size: bigint | null;
  readonly max_lag: number | null;
  readonly failed_events: number;
  /** Consumers that keep the next event table from being emptied. */
  readonly rotation_held_by: readonly RotationHolder[];
  readonly consumers: readonly ConsumerState[];
  readonly warnings: readonly string[];
}

export interface DatabaseStatus {
  readonly database: string;
  readonly postgres_version: string;
  readonly pgq_version: string | null;
  /** Who holds skyq's ticker lock; null: nobody, so another ticker may be at work, or none. */
  readonly ticker: { readonly pid: number; readonly application: string | null } | null;
  readonly long_transactions: readonly LongTransaction[];
  readonly queues: readonly QueueStatus[];
  /** About the database as a whole. */
  readonly warnings: readonly string[];
}

export interface LongTransaction {
  readonly pid: number;
  readonly database: string | null;
  readonly role: string | null;
  readonly application: string | null;
  readonly state: string | null;
  /** Seconds. */
  readonly age: number;
  /** It has written: every tick since then has to remember it, and no event table can be emptied. */
  readonly has_written: boolean;
}

/** Transactions older than this are named, in seconds. */
const LONG_TRANSACTION_S = 600;
/** A ticker that is this much later than its settings say is taken for dead, in seconds. */
const TICKER_GRACE_S = 30;

/**
 * Reads everything that `queue status` shows. Roles without pg_monitor see no other roles' transactions.
 * @param queue null stands for all
 * @throws {SkyqError} `not-installed`, `not-found`
 */
export async function readStatus(db: Queryable, queue: string | null): Promise<DatabaseStatus> {
  await requirePgq(db);
  if (queue !== null) await requireQueue(db, queue);
  const about = await one<{ database: string; postgres: string; pgq: string | null }>(
    db,
    `select current_database()::text as database, current_setting('server_version') as postgres,
            pgq.version()::text as pgq`,
  );
  const isComplete = await hasSkyq(db);
  const ticker = await tickerLockHolder(db);
  const longTransactions = await readLongTransactions(db);
  const warnings = longTransactions.map(transactionWarning);
  if (!isComplete) {
    warnings.push(
      "Schema skyq is missing, older or closed to this role: sizes, limits and holders of the rotation are not known",
    );
  }

  const consumers = await consumerStates(db, queue);
  const policies = isComplete ? await queuePolicies(db, queue) : [];
  const failed = isComplete ? await failedEventCounts(db) : new Map<string, number>();
  const queues: QueueStatus[] = [];
  for (const info of await queueInfo(db, queue)) {
    const name = info.queue_name;
    const facts: QueueFacts = {
      info,
      size: isComplete ? await queueSize(db, name) : null,
      policy: policies.find((row) => row.queue_name === name) ?? null,
      holders: isComplete ? await rotationHolders(db, name) : [],
      consumers: consumers.filter((row) => row.queue_name === name),
      failedCount: failed.get(name) ?? 0,
      idsBehind: isComplete ? await transactionIdsBehind(db, name) : 0n,
      hasTicker: ticker !== null,
      hasLongWriter: longTransactions.some((row) => row.has_written),
    };
    queues.push({
      ...info,
      size: facts.size,
      max_size: facts.policy?.max_size ?? null,
      max_lag: facts.policy?.max_lag ?? null,
      failed_events: facts.failedCount,
      rotation_held_by: facts.holders,
      consumers: facts.consumers,
      warnings: queueWarnings(facts),
    });
  }
  return {
    database: about.database,
    postgres_version: about.postgres,
    pgq_version: about.pgq,
    ticker,
    long_transactions: longTransactions,
    queues,
    warnings,
  };
}

function readLongTransactions(db: Queryable): Promise<LongTransaction[]> {
  return db.query<LongTransaction>(
    `select a.pid, a.datname::text as database, a.usename::text as role, a.application_name as application, a.state,
            extract(epoch from now() - a.xact_start)::float8 as age, a.backend_xid is not null as has_written
       from pg_stat_activity a
      where a.xact_start < now() - make_interval(secs => $1) and a.backend_type = 'client backend'
        and (a.backend_xid is not null or a.datname = current_database())
      union all
     select 0, p.database::text, p.owner::text, 'prepared transaction ' || p.gid, 'prepared',
            extract(epoch from now() - p.prepared)::float8, true
       from pg_prepared_xacts p where p.prepared < now() - make_interval(secs => $1)
      order by age desc`,
    [LONG_TRANSACTION_S],
  );
}

function transactionWarning(row: LongTransaction): string {
  const who = row.pid === 0
    ? row.application
    : `process ${row.pid} (${
      [row.application, row.role && `role ${row.role}`, row.database && `database ${row.database}`].filter(Boolean)
        .join(", ")
    })`;
  const harm = row.has_written ? "no event table can be emptied until it ends" : "dead rows stay until it ends";
  return `Transaction of ${who} is open for ${formatSeconds(row.age)}: ${harm}`;
}

/** What the warnings about one queue are made of. */
export interface QueueFacts {
  readonly info: QueueInfo;
  readonly size: bigint | null;
  readonly policy: QueuePolicy | null;
  readonly holders: readonly RotationHolder[];
  readonly consumers: readonly ConsumerState[];
  readonly failedCount: number;
  /** See skyq.transaction_ids_behind. */
  readonly idsBehind: bigint;
  readonly hasTicker: boolean;
  readonly hasLongWriter: boolean;
}

/** Everything about a queue that an operator should hear. */
export function queueWarnings(facts: QueueFacts): string[] {
  const { info, size, policy, holders, consumers, hasTicker } = facts;
  const warnings: string[] = [];

  if (facts.idsBehind > 0n) {
    warnings.push(
      `The server's transaction ids are ${facts.idsBehind} behind those of the newest tick, as after a restore into ` +
        "another cluster: nothing is delivered until they have passed them (pg_resetwal -e)",
    );
  }
  const expectedS = info.ev_new !== null && info.ev_new > 0n ? info.ticker_max_lag : info.ticker_idle_period;
  if (info.ticker_paused) warnings.push("The ticker is paused for this queue: its consumers get nothing");
  else if (info.ticker_lag === null) warnings.push("The queue was never ticked: start a ticker");
  else if (info.ticker_lag > expectedS + TICKER_GRACE_S) {
    const where = info.external_ticker
      ? "its ticks come from another node: see the worker there"
      : hasTicker
      ? "the ticker holds its lock but makes no ticks: see its log"
      : "no ticker works on this database";
    warnings.push(`The last tick is ${formatSeconds(info.ticker_lag)} old: ${where}`);
  }

  if (policy?.paused_at && info.disable_insert) {
    warnings.push(`Events are refused since ${policy.paused_at}: the queue is over max_size`);
  } else if (info.disable_insert && !info.external_ticker) warnings.push("Events are refused (disable_insert)");
  if (size !== null && policy?.max_size != null && size > policy.max_size) {
    warnings.push(`The queue has ${formatBytes(size)}, over max_size = ${formatBytes(policy.max_size)}`);
  }
  if (policy?.note) warnings.push(`Last measure: ${policy.note} (forgotten when a limit is set)`);

  for (const holder of holders) {
    const consumer = consumers.find((row) => row.consumer_name === holder.consumer_name);
    const behind = consumer?.lag == null ? "" : `, ${formatSeconds(consumer.lag)} behind`;
    const seen = consumer === undefined ? "" : `, last seen ${formatSeconds(consumer.last_seen)} ago`;
    warnings.push(
      `Consumer "${holder.consumer_name}" holds back the rotation since ${holder.held_since}${behind}${seen}`,
    );
  }
  const overdueS = info.switched_ago - info.rotation_period;
  if (holders.length === 0 && size !== null && overdueS > Math.max(600, info.rotation_period)) {
    const reason = facts.hasLongWriter
      ? "an old transaction is in the way"
      : "an old transaction, a long reader of the event tables or a ticker without maintenance may be in the way";
    warnings.push(`The rotation is overdue for ${formatSeconds(overdueS)}: ${reason}`);
  }
  for (const { consumer_name, lag } of consumers) {
    if (policy?.max_lag != null && lag !== null && lag > policy.max_lag) {
      warnings.push(
        `Consumer "${consumer_name}" is ${formatSeconds(lag)} behind, over max_lag = ${formatSeconds(policy.max_lag)}`,
      );
    }
  }
  // A leaf's local queue, and the watermarks of nodes, are not read by anybody.
  if (!consumers.some(({ consumer_name }) => !consumer_name.startsWith(".")) && !info.external_ticker) {
    warnings.push("The queue has no consumers: its events vanish unread");
  }
  if (facts.failedCount > 0) {
    warnings.push(
      `${counted(facts.failedCount, "dead letter")} ${facts.failedCount === 1 ? "waits" : "wait"} (skyq failed list)`,
    );
  }
  return warnings;
}
