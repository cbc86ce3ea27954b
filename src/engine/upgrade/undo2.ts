// A pair that was Londiste 2.1's is given back. Its triggers come first; what skyq's had written until then is replayed
// by skyq, and only then do the old tables get the position, so that Londiste meets no event it does not understand.

import { SkyqError } from "../../base/errors.ts";
import { sleep } from "../../base/time.ts";
import { type Locker, withLocks } from "../../db/locks.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import type { Transaction } from "../../db/sql.ts";
import { getSeqList, getTableList, pendingFkeys } from "../../queue/londiste.ts";
import { consumerNames, forceTick, registerConsumerAt, unregisterConsumer } from "../../queue/pgq.ts";
import { getConsumerState, getNodeInfo, getSubscriberInfo, unregisterSubscriber } from "../../queue/pgq_node.ts";
import { copyConsumerName } from "../copy/table_copy.ts";
import { releaseJobLock, STOP_REPLAY_HINT, takeJobLock } from "../replay/job_lock.ts";
import { requireNothingPending } from "./londiste3.ts";
import { OLD_SCHEMA, type Pair, type Side, type UpgradeJob } from "./look.ts";
import { restoreTriggers } from "./triggers.ts";

export interface GiveBack {
  /** Check and say what would be done, change nothing. */
  readonly check: boolean;
  /** Runs the job's replay until `signal` aborts. */
  replay(signal: AbortSignal): Promise<void>;
}

/** How long the replay of what is left may bring nothing before it is given up. */
const STALL_MS = 60_000;

/**
 * Repeatable: each step is found done by the next call.
 * @throws {SkyqError} `refused` when the old schema is gone, or knows nothing of what was added since
 */
export async function giveBackLondiste2(
  pair: Pair,
  sides: { provider: Side; subscriber: Side },
  job: UpgradeJob,
  { check, replay }: GiveBack,
): Promise<void> {
  const { queue, worker, log } = job;
  const isSubscriberDone = sides.subscriber.record === null;
  if (!isSubscriberDone) {
    await requireOldWorld(pair, sides, job);
    await requireNothingPending(pair.subscriber, queue, { allowNew: false });
    if (sides.provider.record === null) {
      throw new SkyqError("refused", `Cannot undo: the upgrade of queue "${queue}" was not finished on the provider`, {
        hint: "Run `skyq upgrade` once more, then undo it.",
      });
    }
    if (check) {
      log.info(
        "The old triggers would be made again, their tables' last changes replayed, and the schemas renamed back",
      );
      return;
    }
    await restoreTriggers(pair.provider, job);
    await drain(pair, job, replay);
    await requireNothingPending(pair.subscriber, queue, { allowNew: false });
  } else if (check) {
    log.info("The subscriber is Londiste's again; the provider's nodes would be taken away");
    return;
  }
  const position = isSubscriberDone ? null : (await getConsumerState(pair.subscriber, queue, worker))!.completed_tick!;
  const limits = { act: "Cannot undo", log, signal: job.signal, limitMs: job.lockTimeoutMs };
  await withLocks(limits, (lock) =>
    pair.provider.transaction(async (onProvider) => {
      await pair.subscriber.transaction(async (onSubscriber) => {
        if (position !== null) await lockNodes(onSubscriber, lock);
        if (sides.provider.record !== null) await lockNodes(onProvider, lock);
        if (position !== null) await giveBackSubscriber(onSubscriber, job, position);
        await giveBackProvider(onProvider, job, sides.provider, position);
      });
      // The subscriber is committed: Londiste may go on. What is left here disturbs it little, and the next call does it.
    }));
  log.info(`Queue "${queue}" is Londiste's again: start its replay`);
}

/** The tables of nodes, which change and in part go away. */
async function lockNodes(tx: Queryable, lock: Locker): Promise<void> {
  const rows = await tx.query<{ name: string }>(
    `select pg_catalog.format('%I.%I', n.nspname, c.relname) as name
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname in ('londiste', 'pgq_node') and c.relkind = 'r'
        and pg_catalog.pg_has_role(c.relowner, 'USAGE')
      order by n.nspname desc, c.relname = 'local_state' desc, c.relname`,
  );
  await lock(tx, rows.map((row) => row.name), "access exclusive");
}

/** @throws {SkyqError} `refused` */
async function requireOldWorld(pair: Pair, sides: { provider: Side; subscriber: Side }, job: UpgradeJob) {
  const { queue } = job;
  for (const { name, londiste2 } of [sides.provider, sides.subscriber]) {
    if (londiste2 !== null) continue;
    throw new SkyqError("refused", `Cannot undo: schema ${OLD_SCHEMA} of the ${name} is gone`, {
      hint: "Without the tables of Londiste 2.1 there is no way back.",
    });
  }
  const added: string[] = [];
  for (const [db, kind] of [[pair.provider, "provider"], [pair.subscriber, "subscriber"]] as const) {
    const here = (await getTableList(db, queue)).filter((row) => row.local).map((row) => row.table_name);
    const rows = await db.query<{ name: string }>(
      `select t.name from unnest($2::text[]) t (name)
        where not exists (select 1 from ${OLD_SCHEMA}.${kind}_table o where o.queue_name = $1 and o.table_name = t.name)`,
      [queue, here],
    );
    added.push(...rows.map((row) => `${row.name} (${kind})`));
  }
  if (added.length === 0) return;
  throw new SkyqError("refused", `Cannot undo: tables were added since the upgrade: ${added.join(", ")}`, {
    hint: "Londiste knows nothing of them. Remove them first, with `skyq provider remove` or `skyq subscriber remove`.",
  });
}

/** Lets skyq replay all that its own triggers wrote. */
async function drain(pair: Pair, job: UpgradeJob, replay: GiveBack["replay"]): Promise<void> {
  const { queue, worker, log, signal } = job;
  // A tick made from here on sees every transaction that skyq's triggers logged: they held locks that we waited for.
  const before = await newestTick(pair.provider, queue);
  log.info("Replaying what was written until now");
  await releaseJobLock(pair.subscriber, job);
  const end = new AbortController();
  const stop = () => end.abort();
  signal.addEventListener("abort", stop);
  let failure: unknown = null;
  const replaying = replay(end.signal).catch((error) => void (failure = error ?? new Error("replay ended")));
  try {
    let last: bigint | null = null;
    let movedMs = Date.now();
    for (;;) {
      if (failure !== null) throw failure;
      const position = (await getConsumerState(pair.subscriber, queue, worker))?.completed_tick ?? null;
      if (position !== null && position > before) break;
      if (position !== last) movedMs = Date.now();
      last = position;
      if (Date.now() - movedMs > STALL_MS) {
        throw new SkyqError("timeout", `Cannot undo: the replay does not come past tick ${position}`, {
          hint: "Does a ticker run, and does the log above name an error? Nothing is lost; run it again.",
        });
      }
      await forceTick(pair.provider, queue);
      if (!await sleep(500, signal)) throw new SkyqError("stopped", "Stopped; skyq replay may go on, or run it again");
    }
  } finally {
    end.abort();
    signal.removeEventListener("abort", stop);
    await replaying;
  }
  await takeJobLock(pair.subscriber, { queue, worker, hint: STOP_REPLAY_HINT, log, signal });
}

async function newestTick(provider: Queryable, queue: string): Promise<bigint> {
  const { tick } = await one<{ tick: bigint | null }>(
    provider,
    `select max(t.tick_id) as tick from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue where q.queue_name = $1`,
    [queue],
  );
  return tick ?? 0n;
}

async function giveBackSubscriber(tx: Transaction, job: UpgradeJob, position: bigint): Promise<void> {
  const { queue, worker } = job;
  const old = OLD_SCHEMA;
  const tables = (await getTableList(tx, queue)).filter((row) => row.local);
  await tx.query(`delete from ${old}.completed c where c.consumer_id in ($1, $1 || '_copy')`, [worker]);
  await tx.query(`insert into ${old}.completed (consumer_id, last_tick_id) values ($1, $2)`, [worker, position]);
  await tx.query(
    `delete from ${old}.subscriber_table t where t.queue_name = $1 and not t.table_name = any($2::text[])`,
    [queue, tables.map((row) => row.table_name)],
  );
  for (const { table_name: table, merge_state: state, custom_snapshot: snapshot } of tables) {
    await tx.query(
      `update ${old}.subscriber_table t set merge_state = $3, snapshot = $4 where t.queue_name = $1 and t.table_name = $2`,
      [queue, table, state, snapshot],
    );
  }
  await replaceSeqs(tx, `${old}.subscriber_seq`, queue);
  await tx.exec(`delete from ${old}.subscriber_pending_fkeys; delete from ${old}.subscriber_pending_triggers`);
  for (const fkey of await pendingFkeys(tx)) {
    await tx.query(
      `insert into ${old}.subscriber_pending_fkeys (from_table, to_table, fkey_name, fkey_def) values ($1, $2, $3, $4)`,
      [fkey.from_table, fkey.to_table, fkey.fkey_name, fkey.fkey_def],
    );
  }
  await tx.exec(
    `insert into ${old}.subscriber_pending_triggers (table_name, trigger_name, trigger_def)
     select p.table_name, p.trigger_name, p.trigger_def from skyq.pending_trigger p`,
  );
  await dropNode(tx, queue);
  await renameBack(tx, job, "subscriber");
}

async function giveBackProvider(
  tx: Transaction,
  job: UpgradeJob,
  side: Side,
  position: bigint | null,
): Promise<void> {
  const { queue, worker, jobName } = job;
  if (side.record === null) return;
  // After a crash the position is the worker's, which Londiste may have moved since.
  const at = position ?? (await one<{ tick: bigint }>(
    tx,
    "select c.last_tick as tick from pgq.get_consumer_info($1, $2) c",
    [queue, worker],
  )).tick;
  await unregisterSubscriber(tx, queue, jobName);
  await registerConsumerAt(tx, queue, worker, at);
  // What a copy has left behind.
  for (const name of await consumerNames(tx, queue)) {
    if (name.startsWith(copyConsumerName(worker, ""))) await unregisterConsumer(tx, queue, name);
  }
  await tx.query("delete from pgq_node.node_location l where l.queue_name = $1 and l.node_name = $2", [queue, jobName]);
  if ((await getSubscriberInfo(tx, queue)).length > 0) {
    job.log.info("Other subscribers read the queue: the provider stays a root node for them");
    await forget(tx, job, "provider");
    return;
  }
  const tables = (await getTableList(tx, queue)).filter((row) => row.local).map((row) => row.table_name);
  await tx.query(
    `delete from ${OLD_SCHEMA}.provider_table t where t.queue_name = $1 and not t.table_name = any($2::text[])`,
    [queue, tables],
  );
  await replaceSeqs(tx, `${OLD_SCHEMA}.provider_seq`, queue);
  await unregisterConsumer(tx, queue, ".global_watermark");
  await dropNode(tx, queue);
  await renameBack(tx, job, "provider");
}

async function replaceSeqs(tx: Queryable, table: string, queue: string): Promise<void> {
  const seqs = (await getSeqList(tx, queue)).filter((row) => row.local).map((row) => row.seq_name);
  await tx.query(`delete from ${table} s where s.queue_name = $1 and not s.seq_name = any($2::text[])`, [queue, seqs]);
  await tx.query(
    `insert into ${table} (queue_name, seq_name)
     select $1, n.name from unnest($2::text[]) n (name)
      where not exists (select 1 from ${table} s where s.queue_name = $1 and s.seq_name = n.name)`,
    [queue, seqs],
  );
}

/** Takes the node away, and leaves the queue and its tables' triggers: pgq_node.drop_node() would drop both. */
async function dropNode(tx: Transaction, queue: string): Promise<void> {
  if (await getNodeInfo(tx, queue) === null) return;
  await tx.exec("alter table londiste.table_info disable trigger table_info_trigger_sync");
  for (
    const table of [
      "londiste.table_info",
      "londiste.seq_info",
      "pgq_node.subscriber_info",
      "pgq_node.local_state",
      "pgq_node.node_info",
      "pgq_node.node_location",
    ]
  ) await tx.query(`delete from ${table} where queue_name = $1`, [queue]);
  await tx.exec("alter table londiste.table_info enable always trigger table_info_trigger_sync");
}

/** Gives schema londiste its old tables again, when no node needs the new ones any more. */
async function renameBack(tx: Transaction, job: UpgradeJob, side: "provider" | "subscriber"): Promise<void> {
  await forget(tx, job, side);
  const others = await tx.query<{ queue_name: string }>("select n.queue_name from pgq_node.node_info n order by 1");
  if (others.length > 0) {
    job.log.warning(
      `The ${side}'s tables of Londiste 2.1 stay in schema ${OLD_SCHEMA} until queues ${
        others.map((row) => row.queue_name).join(", ")
      } are given back as well: its daemons do not run there before`,
    );
    return;
  }
  await tx.exec("drop schema londiste cascade; delete from skyq.migration where schema_name = 'londiste'");
  await tx.exec(`alter schema ${OLD_SCHEMA} rename to londiste`);
}

async function forget(tx: Queryable, { queue, worker }: UpgradeJob, side: "provider" | "subscriber"): Promise<void> {
  await tx.query(
    "delete from skyq.upgrade u where u.queue_name = $1 and u.worker_name = $2 and u.side = $3",
    [queue, worker, side],
  );
}
