// A node of Londiste 3 changes hands: its schemas, positions and table states are skyq's own, so nothing is converted.
// What is added is schema skyq, a record of the upgrade, and a fence that keeps the old worker from going on.

import { SkyqError } from "../../base/errors.ts";
import { beginInstall, installSchemas, installSchemasWithin } from "../../db/install.ts";
import { type Locker, type LockMode, withLocks } from "../../db/locks.ts";
import type { Queryable } from "../../db/queryable.ts";
import { getSeqList, getTableList, pendingFkeys, type TableRow } from "../../queue/londiste.ts";
import { getConsumerInfo } from "../../queue/pgq.ts";
import { getConsumerState } from "../../queue/pgq_node.ts";
import { isAlreadyApplied } from "../replay/open.ts";
import type { Pair, Side, UpgradeJob } from "./look.ts";
import { askLondiste3, refuseRunning } from "./running.ts";

/** Columns and functions that the replay uses and that early versions of Londiste 3 lack. */
const NEEDED = `
  select f from unnest(array['pgq.next_batch_info(text,text)', 'pgq.register_consumer_at(text,text,int8)',
    'pgq_node.get_consumer_state(text,text)', 'pgq_node.set_subscriber_watermark(text,text,int8)',
    'londiste.get_table_list(text)', 'londiste.local_set_table_state(text,text,text,text)',
    'londiste.restore_table_fkey(text,text,boolean)', 'londiste.root_check_seqs(text)']) f
   where to_regprocedure(f) is null`;

/**
 * Takes the leaf's worker over. Nothing is copied again, and the provider's triggers stay.
 * @param check look only, change nothing but the question to the worker whether it runs
 * @throws {SkyqError} `refused` with everything that does not fit, `already-running`, `lost-position`
 */
export async function takeOverLondiste3(
  pair: Pair,
  sides: { provider: Side; subscriber: Side },
  job: UpgradeJob,
  { check }: { check: boolean },
): Promise<void> {
  const { log, queue, worker } = job;
  await requireFit(pair, sides, job);
  const tables = (await getTableList(pair.subscriber, queue)).filter((row) => row.local);
  requireKnownAttributes(tables);
  await requireNoStoredDdl(pair.subscriber, queue);
  await sayWhatIsTaken(pair, job, tables);
  const running = await askLondiste3(pair.subscriber, job);
  if (check) {
    if (running.length > 0) log.warning(`Londiste still works on the queue (${running.join(", ")}): stop it first`);
    return;
  }
  refuseRunning(running, job);
  await installSchemas(pair.provider, { log });
  const limits = { act: "Cannot upgrade", log, signal: job.signal, limitMs: job.lockTimeoutMs };
  const isFenced = await withLocks(limits, (lock) =>
    pair.subscriber.transaction(async (tx) => {
      await beginInstall(tx);
      await lockForFence(tx, lock, "share row exclusive");
      await installSchemasWithin(tx, lock, { log });
      await tx.query(
        `insert into skyq.upgrade (queue_name, worker_name, side, from_version) values ($1, $2, 'subscriber', '3')
         on conflict (queue_name, worker_name, side) do nothing`,
        [queue, worker],
      );
      const [fence] = await tx.query<{ isSet: boolean }>(`select skyq.set_fence() as "isSet"`);
      return fence!.isSet;
    }));
  if (!isFenced) {
    log.warning(
      "The old worker is not fenced off: this role does not own schemas pgq_node and londiste of the subscriber. See " +
        "to it that the worker of Londiste is never started again",
    );
  }
  await warnOfTicker(pair.provider, job);
  log.info(`Worker "${worker}" of queue "${queue}" is skyq's now: start \`skyq replay\`. The root's worker may run on`);
}

/** Both tables, which workers of other queues write in either order; where they are not ours nothing is done to them. */
async function lockForFence(tx: Queryable, lock: Locker, mode: LockMode): Promise<void> {
  const rows = await tx.query<{ name: string }>(
    `select t.name from unnest(array['pgq_node.local_state', 'londiste.table_info']) t (name)
       join pg_catalog.pg_class c on c.oid = to_regclass(t.name)
      where pg_has_role(c.relowner, 'USAGE') order by t.name desc`,
  );
  await lock(tx, rows.map((row) => row.name), mode);
}

/** Names and kinds that have to agree, all at once. */
async function requireFit(pair: Pair, { provider, subscriber }: { provider: Side; subscriber: Side }, job: UpgradeJob) {
  const root = provider.node!;
  const leaf = subscriber.node!;
  const refuse = (found: string, hint: string) => {
    throw new SkyqError("refused", `Cannot upgrade queue "${job.queue}": ${found}`, { hint });
  };
  if (root.node_type !== "root") {
    refuse(
      `the provider's node "${root.node_name}" is a ${root.node_type}`,
      "skyq replays from a root. Let the leaf read from the root first (londiste change-provider), and name its " +
        "database in provider_db.",
    );
  }
  if (leaf.node_type !== "leaf") {
    refuse(`the subscriber's node "${leaf.node_name}" is a ${leaf.node_type}`, "skyq takes over leaves.");
  }
  if (leaf.provider_node !== root.node_name) {
    refuse(
      `leaf "${leaf.node_name}" reads from node "${leaf.provider_node}", provider_db is node "${root.node_name}"`,
      "Name the database of its provider in provider_db.",
    );
  }
  if (leaf.combined_queue !== null) {
    refuse(
      `leaf "${leaf.node_name}" is merged into queue "${leaf.combined_queue}"`,
      "Merged leaves stay with Londiste.",
    );
  }
  const lines: string[] = [];
  if (job.jobName !== leaf.node_name) lines.push(`job_name = ${leaf.node_name}`);
  if (job.worker !== leaf.worker_name) lines.push(`pgq_consumer_id = ${leaf.worker_name}`);
  if (lines.length > 0) {
    refuse(
      `the subscriber is node "${leaf.node_name}" with worker "${leaf.worker_name}", the config says node ` +
        `"${job.jobName}" with worker "${job.worker}"`,
      `Write into the config: ${lines.join(", ")}`,
    );
  }
  for (const [side, db] of [["provider", pair.provider], ["subscriber", pair.subscriber]] as const) {
    const lacking = await db.query<{ f: string }>(NEEDED);
    if (lacking.length === 0) continue;
    refuse(
      `the ${side}'s schemas are of an older version, without ${lacking.map((row) => row.f).join(", ")}`,
      "Let their owner run: ALTER EXTENSION pgq UPDATE; the same for pgq_node and londiste.",
    );
  }
}

function requireKnownAttributes(tables: readonly TableRow[]): void {
  const special = tables.filter((row) => {
    const handler = new URLSearchParams(row.table_attrs ?? "").get("handler");
    return handler !== null && !/^londiste($|\(\s*\))/.test(handler);
  });
  if (special.length === 0) return;
  throw new SkyqError(
    "refused",
    `Cannot upgrade: tables with a handler that skyq does not have: ${
      special.map((row) => `${row.table_name} (${row.table_attrs})`).join(", ")
    }`,
    { hint: "Leave them to a node of Londiste, or set them back with `londiste change-handler TABLE`." },
  );
}

/** Where several queues are copied into one table, the first of their copies drops its indexes for all. */
async function requireNoStoredDdl(subscriber: Queryable, queue: string): Promise<void> {
  const rows = await subscriber.query<{ table_name: string }>(
    "select t.table_name from londiste.table_info t where t.queue_name = $1 and t.dropped_ddl is not null order by t.nr",
    [queue],
  );
  if (rows.length === 0) return;
  throw new SkyqError(
    "refused",
    `Cannot upgrade: ${rows.map((row) => row.table_name).join(", ")} are being copied from several queues`,
    { hint: "Let Londiste finish those copies first: londiste wait-sync." },
  );
}

/** @throws {SkyqError} `lost-position` */
async function sayWhatIsTaken(pair: Pair, job: UpgradeJob, tables: readonly TableRow[]): Promise<void> {
  const { log, queue, worker } = job;
  const there = await getConsumerInfo(pair.provider, queue, worker);
  const here = await getConsumerState(pair.subscriber, queue, worker);
  if (there?.last_tick == null || here?.completed_tick == null) {
    throw new SkyqError(
      "not-found",
      `Cannot upgrade queue "${queue}": worker "${worker}" is not registered on both sides`,
      {
        hint: "Let Londiste replay a batch first.",
      },
    );
  }
  const open = there.next_tick === null
    ? { prevTickId: there.last_tick, tickId: there.last_tick, queue }
    : { prevTickId: there.last_tick, tickId: there.next_tick, queue };
  const isApplied = isAlreadyApplied(open, here.completed_tick);
  log.info(
    `Position: tick ${here.completed_tick}` +
      (there.next_tick === null
        ? ""
        : `; batch ${there.last_tick}..${there.next_tick} is open and ${isApplied ? "applied" : "not applied"}`),
  );
  const states = new Map<string, number>();
  for (const row of tables) {
    const state = row.merge_state === null ? "to be copied" : row.merge_state.split(":")[0]!;
    states.set(state, (states.get(state) ?? 0) + 1);
  }
  log.info(`Tables: ${[...states].map(([state, count]) => `${count} ${state}`).join(", ") || "none"}`);
  const seqs = (await getSeqList(pair.subscriber, queue)).filter((row) => row.local).length;
  const fkeys = (await pendingFkeys(pair.subscriber)).length;
  log.info(`Sequences: ${seqs}; pending foreign keys: ${fkeys}`);
}

/** Functions of the originals do not keep two tickers apart. */
async function warnOfTicker(provider: Queryable, job: UpgradeJob): Promise<void> {
  if (!job.ticks) return;
  const sessions = await provider.query<{ pid: number }>(
    `select a.pid from pg_stat_activity a
      where a.datname = current_database() and a.pid <> pg_backend_pid() and a.query ~ 'pgq\\.ticker\\('
        and not starts_with(a.application_name, 'skyq ')
        and not exists (select 1 from skyq.migration m where m.schema_name = 'pgq')
      limit 1`,
  );
  if (sessions.length === 0) return;
  job.log.warning(
    `Another ticker works on the provider (server process ${
      sessions[0]!.pid
    }), pgqd? Set ticker = off in the config, or ` +
      "stop it and let skyq tick: two at once may deliver events twice",
  );
}

/**
 * Gives the worker back to Londiste, whose worker goes on from the position that skyq has reached.
 * @throws {SkyqError} `refused` while something is under way that Londiste could not finish
 */
export async function giveBackLondiste3(pair: Pair, job: UpgradeJob, { check }: { check: boolean }): Promise<void> {
  const { queue, worker, log } = job;
  await requireNothingPending(pair.subscriber, queue, { allowNew: true });
  await requireNoPendingTriggers(pair.subscriber, queue);
  if (check) return;
  const limits = { act: "Cannot undo", log, signal: job.signal, limitMs: job.lockTimeoutMs };
  await withLocks(limits, (lock) =>
    pair.subscriber.transaction(async (tx) => {
      await lockForFence(tx, lock, "access exclusive");
      await tx.query("delete from skyq.upgrade u where u.queue_name = $1 and u.worker_name = $2", [queue, worker]);
      await tx.query("select skyq.set_fence()");
    }));
  const state = await getConsumerState(pair.subscriber, queue, worker);
  log.info(`Worker "${worker}" of queue "${queue}" is Londiste's again, at tick ${state?.completed_tick}`);
}

/** @throws {SkyqError} `refused` */
async function requireNoPendingTriggers(db: Queryable, queue: string): Promise<void> {
  const pending = await db.query<{ table_name: string }>(
    `select distinct p.table_name from skyq.pending_trigger p
       join londiste.table_info t on t.queue_name = $1 and t.local and coalesce(t.dest_table, t.table_name) = p.table_name
      order by 1`,
    [queue],
  );
  if (pending.length === 0) return;
  throw new SkyqError(
    "refused",
    `Cannot undo: triggers of ${pending.map((row) => row.table_name).join(", ")} are dropped and pending`,
    { hint: "Londiste knows nothing of them. Restore them first: skyq subscriber restore-triggers." },
  );
}

/**
 * A copy of skyq's is not one that Londiste could go on with: it may have loaded chunks of different moments, and
 * indexes may be missing until its end.
 * @param options `allowNew` for where no replay runs that could begin to copy a table meanwhile
 * @throws {SkyqError} `refused`
 */
export async function requireNothingPending(
  subscriber: Queryable,
  queue: string,
  { allowNew }: { allowNew: boolean },
): Promise<void> {
  const rows = await subscriber.query<{ table_name: string; what: string }>(
    `select t.table_name, case t.merge_state when 'ok' then 'without its indexes' else coalesce(t.merge_state, 'NEW') end
              as what
       from londiste.table_info t
      where t.queue_name = $1 and t.local
        and (t.merge_state is distinct from 'ok' and (t.merge_state is not null or not $2)
             or exists (select 1 from skyq.pending_index p
                         where p.queue_name = t.queue_name and p.table_name = t.table_name))
      order by t.nr`,
    [queue, allowNew],
  );
  if (rows.length === 0) return;
  throw new SkyqError(
    "refused",
    `Cannot undo: tables are not copied yet: ${rows.map((row) => `${row.table_name} (${row.what})`).join(", ")}`,
    { hint: "Let `skyq replay` finish that, or take them out with `skyq subscriber remove`; then run this again." },
  );
}
