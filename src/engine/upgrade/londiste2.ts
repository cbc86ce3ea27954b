// A pair of Londiste 2.1 becomes a root and a leaf. Its tables of positions and states stay, in a schema with another
// name: that keeps its daemons out, whose functions are gone, and gives everything back when the upgrade is undone.
//
// Both sides are changed in one transaction each, open at the same time, and the subscriber commits first: from then on
// no daemon of Londiste can apply anything. A crash between the two commits leaves the provider to the next call.

import { messageOf, SkyqError } from "../../base/errors.ts";
import { beginInstall, installSchemasWithin } from "../../db/install.ts";
import { type Locker, withLocks } from "../../db/locks.ts";
import { isPgq2 } from "../../db/old_schemas.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { quoteIdent } from "../../db/quote.ts";
import type { Transaction } from "../../db/sql.ts";
import { getSeqList, getTableList, localAddSeq, localAddTable } from "../../queue/londiste.ts";
import { registerConsumerAt, unregisterConsumer } from "../../queue/pgq.ts";
import {
  checkRet,
  createNode,
  getConsumerState,
  getNodeInfo,
  getQueueLocations,
  registerLocation,
  registerTargetConsumer,
  type Ret,
} from "../../queue/pgq_node.ts";
import { copyConsumerName } from "../copy/table_copy.ts";
import { learnFromProvider } from "../nodes/pair.ts";
import { isAlreadyApplied } from "../replay/open.ts";
import { OLD_SCHEMA, type Pair, type Side, type UpgradeJob } from "./look.ts";
import { addCompat2, convertPgq2, lockPgq2 } from "../../db/pgq_2_1.ts";
import { refuseRunning, watchLondiste2 } from "./running.ts";

/** What the provider has to know of the subscriber. */
interface Positions {
  /** The last tick that the subscriber has. */
  readonly worker: bigint;
  /** The same of copies that have loaded their table, by table. */
  readonly copies: ReadonlyMap<string, bigint>;
}

interface OldTable {
  readonly table_name: string;
  readonly snapshot: string | null;
  readonly merge_state: string | null;
  readonly skip_truncate: boolean | null;
}

/** Ends both transactions without their work. */
class DryRun extends Error {}

/**
 * Converts what is not converted yet. The triggers stay, see `swapTriggers`.
 * @param check do everything and roll it back
 * @throws {SkyqError} `already-running`, `lost-position`, `refused`, `lock-timeout` (a transaction of an application or a
 * daemon lasts too long); nothing is changed then
 */
export async function takeOverLondiste2(
  pair: Pair,
  sides: { provider: Side; subscriber: Side },
  job: UpgradeJob,
  { check }: { check: boolean },
): Promise<void> {
  const { log } = job;
  if (sides.provider.record !== null && sides.subscriber.record !== null) return;
  const running = await watchLondiste2(pair.provider, job);
  if (!check) refuseRunning(running, job);
  else if (running.length > 0) {
    log.warning(`Londiste still works on the queue (${running.join(", ")}): stop it first`);
  }
  const limits = { act: "Cannot upgrade", log, signal: job.signal, limitMs: job.lockTimeoutMs };
  try {
    await withLocks(limits, (lock) =>
      pair.provider.transaction(async (onProvider) => {
        await beginWork(onProvider);
        await pair.subscriber.transaction(async (onSubscriber) => {
          await beginWork(onSubscriber);
          const tx = { provider: onProvider, subscriber: onSubscriber };
          await lockBoth(tx, sides, lock);
          await convert(tx, sides, job, lock, check);
          if (check) throw new DryRun();
        });
      }));
  } catch (error) {
    if (!(error instanceof DryRun)) throw error;
  }
}

async function beginWork(tx: Transaction): Promise<void> {
  // Read committed whatever the default: what a daemon did while we waited for its lock must be seen.
  await tx.exec("set transaction isolation level read committed");
}

/** All locks that are needed, before anything is done. A daemon in the middle of a batch has some of them. */
async function lockBoth(
  tx: { provider: Transaction; subscriber: Transaction },
  sides: { provider: Side; subscriber: Side },
  lock: Locker,
): Promise<void> {
  const tablesOf = (side: Side, names: readonly string[]) => names.map((name) => `${side.londiste2}.${name}`);
  if (sides.subscriber.record === null) {
    await beginInstall(tx.subscriber);
    const names = [
      "completed",
      "subscriber_table",
      "subscriber_seq",
      "subscriber_pending_fkeys",
      "subscriber_pending_triggers",
    ];
    await lock(tx.subscriber, tablesOf(sides.subscriber, names), "access exclusive");
  }
  if (sides.provider.record === null && sides.provider.londiste2 !== null) {
    await beginInstall(tx.provider);
    const tables = tablesOf(sides.provider, ["provider_table", "provider_seq"]);
    if (await isPgq2(tx.provider)) await lockPgq2(tx.provider, lock, tables);
    else await lock(tx.provider, tables, "access exclusive");
  }
}

async function convert(
  tx: { provider: Transaction; subscriber: Transaction },
  sides: { provider: Side; subscriber: Side },
  job: UpgradeJob,
  lock: Locker,
  check: boolean,
): Promise<void> {
  const { queue } = job;
  if (sides.subscriber.record !== null) {
    await convertProvider(tx.provider, sides.provider, await convertedPositions(tx.subscriber, job), job, lock);
    return;
  }
  const old = sides.subscriber.londiste2!;
  const tables = await tx.subscriber.query<OldTable>(
    `select t.table_name, t.snapshot, t.merge_state, t.skip_truncate
       from ${old}.subscriber_table t where t.queue_name = $1 order by t.nr`,
    [queue],
  );
  const seqs = await tx.subscriber.query<{ seq_name: string }>(
    `select s.seq_name from ${old}.subscriber_seq s where s.queue_name = $1 order by s.nr`,
    [queue],
  );
  const positions = await oldPositions(tx, old, tables, job);
  await sayWhatIsTaken(tx.subscriber, old, { tables, seqs: seqs.length, positions }, job);
  if (sides.provider.record === null) await convertProvider(tx.provider, sides.provider, positions, job, lock);
  await convertSubscriber(tx, old, { tables, seqs: seqs.map((row) => row.seq_name), positions }, job, lock, check);
}

interface OldConsumer {
  readonly last_tick: bigint;
  readonly next_tick: bigint | null;
}

async function oldConsumer(provider: Queryable, queue: string, name: string): Promise<OldConsumer | null> {
  const rows = await provider.query<OldConsumer>(
    `select s.sub_last_tick as last_tick, s.sub_next_tick as next_tick
       from pgq.subscription s
       join pgq.queue q on q.queue_id = s.sub_queue
       join pgq.consumer c on c.co_id = s.sub_consumer
      where q.queue_name = $1 and c.co_name = $2`,
    [queue, name],
  );
  return rows[0] ?? null;
}

/** Londiste's own rule: an open batch was applied when the subscriber has its end. @throws {SkyqError} `lost-position` */
async function oldPosition(
  tx: { provider: Queryable; subscriber: Queryable },
  old: string,
  queue: string,
  name: string,
): Promise<bigint | null> {
  const there = await oldConsumer(tx.provider, queue, name);
  if (there === null) return null;
  const rows = await tx.subscriber.query<{ tick: bigint }>(
    `select c.last_tick_id as tick from ${old}.completed c where c.consumer_id = $1`,
    [name],
  );
  const here = rows[0]?.tick ?? null;
  const { last_tick: prevTickId, next_tick: nextTick } = there;
  try {
    return isAlreadyApplied({ queue, prevTickId, tickId: nextTick ?? prevTickId }, here) ? here! : prevTickId;
  } catch (error) {
    throw new SkyqError("lost-position", `Cannot upgrade consumer "${name}": ${messageOf(error)}`, {
      hint:
        "Its queue and its subscriber have lost each other; let Londiste mend that first, with its replay --rewind.",
    });
  }
}

async function oldPositions(
  tx: { provider: Queryable; subscriber: Queryable },
  old: string,
  tables: readonly OldTable[],
  job: UpgradeJob,
): Promise<Positions> {
  const { queue, worker, log } = job;
  const position = await oldPosition(tx, old, queue, worker);
  if (position === null) {
    throw new SkyqError("not-found", `Cannot upgrade: queue "${queue}" has no consumer "${worker}"`, {
      hint: "pgq_queue_name and pgq_consumer_id (default: job_name) have to be those of Londiste's config.",
    });
  }
  const copies = new Map<string, bigint>();
  for (const { table_name: table, merge_state: state } of tables) {
    if (!isCatchingUp(state)) continue;
    // Without its position it begins anew; that is no reason to stop.
    const copyPosition = await oldPosition(tx, old, queue, `${worker}_copy`).catch((error) => {
      if (error instanceof SkyqError && error.fault === "lost-position") return null;
      throw error;
    });
    if (copyPosition === null) {
      log.warning(`${table}: the position of its copy is lost, it is copied from the beginning`);
    } else copies.set(table, copyPosition);
  }
  return { worker: position, copies };
}

/** Its rows are there, its own consumer follows the queue: whatever it had agreed on with the replay, it can do so anew. */
function isCatchingUp(state: string | null): boolean {
  return state !== null && /^(catching-up|wanna-sync:\d+|do-sync:\d+)$/.test(state);
}

async function convertedPositions(subscriber: Queryable, { queue, worker }: UpgradeJob): Promise<Positions> {
  const state = await getConsumerState(subscriber, queue, worker);
  const rows = await subscriber.query<{ name: string; tick: bigint }>(
    `select s.consumer_name as name, s.last_tick_id as tick from pgq_node.local_state s
      where s.queue_name = $1 and starts_with(s.consumer_name, $2)`,
    [queue, copyConsumerName(worker, "")],
  );
  const prefix = copyConsumerName(worker, "").length;
  return { worker: state!.completed_tick!, copies: new Map(rows.map((row) => [row.name.slice(prefix), row.tick])) };
}

async function sayWhatIsTaken(
  subscriber: Queryable,
  old: string,
  { tables, seqs, positions }: { tables: readonly OldTable[]; seqs: number; positions: Positions },
  { log, worker }: UpgradeJob,
): Promise<void> {
  log.info(`Position: tick ${positions.worker}`);
  const states = new Map<string, number>();
  for (const row of tables) {
    const state = row.merge_state === null ? "to be copied" : newState(row, positions)!;
    states.set(state, (states.get(state) ?? 0) + 1);
  }
  log.info(`Tables: ${[...states].map(([state, count]) => `${count} ${state}`).join(", ") || "none"}`);
  const { fkeys, triggers } = await one<{ fkeys: number; triggers: number }>(
    subscriber,
    `select (select count(*) from ${old}.subscriber_pending_fkeys)::int4 as fkeys,
            (select count(*) from ${old}.subscriber_pending_triggers)::int4 as triggers`,
  );
  log.info(`Sequences: ${seqs}; pending foreign keys: ${fkeys}, triggers: ${triggers}`);
  const others = await subscriber.query<{ name: string }>(
    `select c.consumer_id as name from ${old}.completed c where c.consumer_id not in ($1, $1 || '_copy') order by 1`,
    [worker],
  );
  if (others.length > 0 && old !== OLD_SCHEMA) {
    log.warning(
      `Other jobs of Londiste 2.1 in the subscriber's database stand still until they are upgraded as well: ${
        others.map((row) => row.name).join(", ")
      }`,
    );
  }
}

async function convertProvider(
  tx: Transaction,
  side: Side,
  positions: Positions,
  job: UpgradeJob,
  lock: Locker,
): Promise<void> {
  const { queue, worker, log } = job;
  if (!side.queues.includes(queue)) {
    throw new SkyqError("not-found", `Cannot upgrade: the provider has no queue "${queue}"`, {
      hint: `Its queues: ${side.queues.join(", ") || "none"}.`,
    });
  }
  const old = OLD_SCHEMA;
  if (side.londiste2 === null) {
    throw new SkyqError("not-found", "Cannot upgrade: the provider has no schema of Londiste 2.1");
  }
  await renameSchema(tx, side.londiste2);
  const isOldPgq = await isPgq2(tx);
  if (isOldPgq) {
    log.info("Upgrading pgq from 2.1 to 3.5");
    await convertPgq2(tx);
  }
  await installSchemasWithin(tx, lock, { log });
  if (isOldPgq) await addCompat2(tx);

  const node = await getNodeInfo(tx, queue);
  if (node === null) {
    const { providerNode: name, locations } = job;
    await registerLocation(tx, queue, name, locations.provider);
    await createNode(tx, { queue, type: "root", name, worker: name, provider: null, watermark: null });
    const tables = await tx.query<{ name: string }>(
      `select t.table_name as name from ${old}.provider_table t where t.queue_name = $1 order by t.nr`,
      [queue],
    );
    for (const table of tables) await explained(localAddTable(tx, queue, table.name, ["no_triggers"]), "provider");
    const seqs = await tx.query<{ name: string }>(
      `select s.seq_name as name from ${old}.provider_seq s where s.queue_name = $1 order by s.nr`,
      [queue],
    );
    for (const seq of seqs) await explained(localAddSeq(tx, queue, seq.name), "provider");
    log.info(`Provider: root node "${name}" with ${tables.length} tables and ${seqs.length} sequences`);
  } else if (node.node_type !== "root") {
    throw new SkyqError(
      "refused",
      `Cannot upgrade: node "${node.node_name}" of queue "${queue}" is a ${node.node_type}`,
    );
  }
  // What a node may still need is held from its own position on.
  await lowerConsumer(tx, queue, ".global_watermark", positions.worker);
  await registerLocation(tx, queue, job.jobName, job.locations.subscriber);
  checkRet(
    await one<Ret>(tx, "select ret_code, ret_note from pgq_node.register_subscriber($1, $2, $3, $4)", [
      queue,
      job.jobName,
      worker,
      positions.worker,
    ]),
    `Cannot register subscriber "${job.jobName}"`,
  );
  await lowerConsumer(tx, queue, `.${job.jobName}.watermark`, positions.worker);
  for (const [table, tick] of positions.copies) {
    await registerConsumerAt(tx, queue, copyConsumerName(worker, table), tick);
  }
  await unregisterConsumer(tx, queue, `${worker}_copy`);
  await record(tx, "provider", job);
}

async function convertSubscriber(
  tx: { provider: Transaction; subscriber: Transaction },
  found: string,
  { tables, seqs, positions }: { tables: readonly OldTable[]; seqs: readonly string[]; positions: Positions },
  job: UpgradeJob,
  lock: Locker,
  check: boolean,
): Promise<void> {
  const { queue, worker, jobName, log } = job;
  const { subscriber } = tx;
  await renameSchema(subscriber, found);
  await installSchemasWithin(subscriber, lock, { log });
  const root = (await getNodeInfo(tx.provider, queue))!;
  for (const member of await getQueueLocations(tx.provider, queue)) {
    await registerLocation(subscriber, queue, member.node_name, member.node_location);
  }
  await createNode(subscriber, {
    queue,
    type: "leaf",
    name: jobName,
    worker,
    provider: root.node_name,
    watermark: positions.worker,
  });
  await learnFromProvider(tx.provider, subscriber, queue);
  const known = new Set((await getTableList(subscriber, queue)).map((row) => row.table_name));
  for (const table of tables) {
    if (!known.has(table.table_name)) {
      log.warning(`${table.table_name}: the provider has taken it out of the set, its registration ends here`);
      continue;
    }
    const words = ["no_triggers", ...(table.skip_truncate ? ["skip_truncate"] : [])];
    await explained(localAddTable(subscriber, queue, table.table_name, words), "subscriber");
    const state = newState(table, positions);
    const snapshot = state === "ok" || state === "catching-up" ? table.snapshot : null;
    checkRet(
      await one<Ret>(subscriber, "select ret_code, ret_note from londiste.local_set_table_state($1, $2, $3, $4)", [
        queue,
        table.table_name,
        snapshot,
        state,
      ]),
      `Cannot set the state of table "${table.table_name}"`,
    );
  }
  for (const [table, tick] of positions.copies) {
    await registerTargetConsumer(subscriber, queue, copyConsumerName(worker, table), root.node_name, tick);
  }
  // What a sequence is set to is not rolled back.
  const knownSeqs = new Set((await getSeqList(subscriber, queue)).map((row) => row.seq_name));
  for (const seq of seqs) {
    if (!knownSeqs.has(seq)) {
      log.warning(`${seq}: the provider has taken it out of the set, its registration ends here`);
    } else if (!check) await explained(localAddSeq(subscriber, queue, seq), "subscriber");
  }
  await subscriber.exec(`
    insert into londiste.pending_fkeys (from_table, to_table, fkey_name, fkey_def)
    select f.from_table, f.to_table, f.fkey_name, f.fkey_def from ${OLD_SCHEMA}.subscriber_pending_fkeys f
        on conflict do nothing;
    insert into skyq.pending_trigger (table_name, trigger_name, trigger_def)
    select t.table_name, t.trigger_name, t.trigger_def from ${OLD_SCHEMA}.subscriber_pending_triggers t
        on conflict do nothing`);
  await record(subscriber, "subscriber", job);
  log.info(`Subscriber: leaf node "${jobName}" with worker "${worker}"`);
}

/** The state of a copy that goes on where it is, or begins anew. */
function newState({ merge_state: state, table_name: table }: OldTable, positions: Positions): string | null {
  if (state === null || state === "in-copy") return state;
  if (state === "ok" || state === "?") return "ok";
  if (isCatchingUp(state)) return positions.copies.has(table) ? "catching-up" : "in-copy";
  throw new SkyqError("refused", `Cannot read state of table "${table}": "${state}" is none of Londiste's`);
}

async function explained(work: Promise<unknown>, side: string): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof SkyqError) || error.fault !== "refused") throw error;
    throw new SkyqError("refused", `${error.message} (on the ${side})`, {
      hint:
        "It is registered in Londiste's tables. Mend it, or take it out with Londiste's own remove, then run this again.",
      cause: error,
    });
  }
}

async function renameSchema(tx: Transaction, found: string): Promise<void> {
  if (found === OLD_SCHEMA) return;
  const mixed = await tx.query("select 1 where to_regclass($1) is not null", [`${found}.table_info`]);
  if (mixed.length > 0) {
    throw new SkyqError("refused", `Cannot upgrade: schema ${found} holds Londiste 2.1 and 3 side by side`, {
      hint:
        "Nodes of Londiste 3 there would lose their tables. Move this queue's tables over to a queue of version 3 with " +
        "Londiste, or to a queue of skyq's in other databases.",
    });
  }
  const taken = await tx.query("select 1 from pg_namespace n where n.nspname = $1", [OLD_SCHEMA]);
  if (taken.length > 0) {
    throw new SkyqError("refused", `Cannot keep schema "${found}" as "${OLD_SCHEMA}": there is one of that name`, {
      hint: `It is of an earlier upgrade? Look into it, and drop it: DROP SCHEMA ${OLD_SCHEMA} CASCADE`,
    });
  }
  await tx.exec(`alter schema ${quoteIdent(found)} rename to ${quoteIdent(OLD_SCHEMA)}`);
}

async function lowerConsumer(tx: Queryable, queue: string, consumer: string, tick: bigint): Promise<void> {
  const there = await oldConsumer(tx, queue, consumer);
  if (there === null || there.last_tick > tick) await registerConsumerAt(tx, queue, consumer, tick);
}

async function record(tx: Queryable, side: "provider" | "subscriber", { queue, worker }: UpgradeJob): Promise<void> {
  await tx.query(
    `insert into skyq.upgrade (queue_name, worker_name, side, from_version, old_schema) values ($1, $2, $3, '2.1', $4)`,
    [queue, worker, side, OLD_SCHEMA],
  );
}
