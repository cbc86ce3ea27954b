// The provider's triggers of Londiste 2.1 write statements; skyq's own write rows, which are applied as sets. Both can be
// replayed, so tables change one by one, each in a transaction of its own in which no write goes unlogged.

import { messageOf, SkyqError } from "../../base/errors.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { withLocks } from "../../db/locks.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { checkRet, type Ret } from "../../queue/pgq_node.ts";
import { lockForTriggers } from "../nodes/captures.ts";
import { readStructure } from "../nodes/structure.ts";
import type { UpgradeJob } from "./look.ts";

interface OldTrigger {
  readonly table_name: string;
  readonly trigger_name: string;
  readonly definition: string;
  /** pg_trigger.tgenabled */
  readonly enabled: string;
  readonly function_name: string;
  /** Behind the queue's name. */
  readonly args: readonly string[];
}

/** Consumers of the queue that are none of the cascade's: they read the events as Londiste 2.1 wrote them. */
export async function otherConsumers(provider: Queryable, queue: string): Promise<string[]> {
  const rows = await provider.query<{ name: string }>(
    `select c.consumer_name as name
       from pgq.get_consumer_info($1) c
      where not starts_with(c.consumer_name, '.')
        and not exists (select 1 from pgq_node.subscriber_info i
                         where i.queue_name = $1
                           and (i.worker_name = c.consumer_name or starts_with(c.consumer_name, i.worker_name || '.copy.')))
      order by 1`,
    [queue],
  );
  return rows.map((row) => row.name);
}

/**
 * Puts skyq's triggers in the place of Londiste 2.1's, and keeps those for `restoreTriggers`.
 * @throws {SkyqError} `lock-timeout` or what else kept a table from it, after all others were done
 */
export async function swapTriggers(provider: SqlConnection, job: UpgradeJob): Promise<void> {
  const { queue, log } = job;
  await warnOfUncaptured(provider, job);
  const all = await oldTriggers(provider, queue);
  for (const trigger of all.filter((trigger) => trigger.enabled === "D")) {
    log.warning(`${trigger.table_name}: its trigger is disabled, and stays so: its changes are not replicated`);
  }
  const triggers = all.filter((trigger) => trigger.enabled !== "D");
  if (triggers.length === 0) return;
  const others = await otherConsumers(provider, queue);
  if (others.length > 0) {
    log.warning(
      `Triggers stay as they are: ${others.join(", ")} read the queue's events in the form of Londiste 2.1. Run this ` +
        "again when they are upgraded or unregistered; replay is slower until then",
    );
    return;
  }
  await eachTable(provider, job, triggers, async (tx, trigger) => {
    const { table_name: table } = trigger;
    const args = await triggerArgs(tx, trigger);
    await tx.query(
      `insert into skyq.upgraded_trigger (queue_name, table_name, trigger_name, trigger_def, trigger_enabled)
       values ($1, $2, $3, $4, $5::"char")
       on conflict (queue_name, table_name, trigger_name) do update
          set trigger_def = excluded.trigger_def, trigger_enabled = excluded.trigger_enabled`,
      [queue, table, trigger.trigger_name, trigger.definition, trigger.enabled],
    );
    await tx.query("select skyq._set_triggers($1, londiste.find_table_oid($2)::regclass, '{}')", [queue, table]);
    checkRet(
      await one<Ret>(
        tx,
        "select ret_code, ret_note from londiste.create_trigger($1, $2, $3::text[], $2, 'root')",
        [queue, table, args],
      ),
      `Cannot make the trigger of table "${table}"`,
    );
    log.info(
      `${table}: captured by skyq from now on` + (args.length === 0 ? "" : `, as before with ${args.join(" ")}`),
    );
  });
}

/** Puts the triggers of Londiste 2.1 back. From then on its form of events is written. @returns whether there were any */
export async function restoreTriggers(provider: SqlConnection, job: UpgradeJob): Promise<boolean> {
  const { queue, log } = job;
  const triggers = await provider.query<Pick<OldTrigger, "table_name" | "trigger_name" | "definition" | "enabled">>(
    `select t.table_name, t.trigger_name, t.trigger_def as definition, t.trigger_enabled::text as enabled
       from skyq.upgraded_trigger t where t.queue_name = $1 order by t.table_name`,
    [queue],
  );
  await eachTable(
    provider,
    job,
    triggers,
    async (tx, { table_name: table, trigger_name: name, definition, enabled }) => {
      const there = await tx.query("select 1 where to_regclass($1) is not null", [quoteFullName(table)]);
      if (there.length > 0) {
        await tx.query("select londiste.drop_table_triggers($1, $2)", [queue, table]);
        await tx.query(definition);
        const word = { D: "disable", A: "enable always", R: "enable replica" }[enabled];
        if (word !== undefined) {
          await tx.query(`alter table ${quoteFullName(table)} ${word} trigger "${name.replaceAll('"', '""')}"`);
        }
        log.info(`${table}: captured by the trigger of Londiste again`);
      }
      await tx.query(
        "delete from skyq.upgraded_trigger t where t.queue_name = $1 and t.table_name = $2 and t.trigger_name = $3",
        [queue, table, name],
      );
    },
  );
  return triggers.length > 0;
}

/** Runs `work` for each trigger in a transaction of its own; one that fails does not keep the others from it. */
async function eachTable<T extends { readonly table_name: string }>(
  provider: SqlConnection,
  job: UpgradeJob,
  triggers: readonly T[],
  work: (tx: Queryable, trigger: T) => Promise<void>,
): Promise<void> {
  const failed: string[] = [];
  let first: unknown = null;
  for (const trigger of triggers) {
    if (job.signal.aborted) throw new SkyqError("stopped", "Stopped; run it again for the other tables");
    try {
      const limits = {
        act: `Cannot change the triggers of ${trigger.table_name}`,
        log: job.log,
        signal: job.signal,
        limitMs: job.lockTimeoutMs,
      };
      await withLocks(limits, (lock) =>
        provider.transaction(async (tx) => {
          await tx.exec("set local search_path = pg_catalog");
          await lockForTriggers(tx, lock, trigger.table_name);
          await work(tx, trigger);
        }));
    } catch (error) {
      if (provider.isClosed) throw error;
      job.log.warning(`${trigger.table_name}: ${messageOf(error)}`);
      failed.push(trigger.table_name);
      first ??= error;
    }
  }
  if (failed.length === 0) return;
  throw new SkyqError(
    first instanceof SkyqError ? first.fault : "sql",
    `Cannot change the triggers of ${failed.join(", ")}: ${messageOf(first)}`,
    { hint: "All else is done, and nothing is lost meanwhile: run it again.", cause: first },
  );
}

async function oldTriggers(provider: Queryable, queue: string): Promise<OldTrigger[]> {
  return await provider.query<OldTrigger>(
    `select t.table_name, g.trigger_name, pg_catalog.pg_get_triggerdef(g.trigger_oid) as definition,
            p.tgenabled::text as enabled, f.proname as function_name, g.args
       from londiste.table_info t
      cross join lateral skyq._queue_triggers(londiste.find_table_oid(t.table_name)) g
       join pg_catalog.pg_trigger p on p.oid = g.trigger_oid
       join pg_catalog.pg_proc f on f.oid = p.tgfoid
      where t.queue_name = $1 and t.local and g.queue_name = $1 and not starts_with(g.trigger_name, '_londiste_')
      order by t.nr`,
    [queue],
  );
}

async function warnOfUncaptured(provider: Queryable, { queue, log }: UpgradeJob): Promise<void> {
  const rows = await provider.query<{ table_name: string }>(
    `select t.table_name from londiste.table_info t
      where t.queue_name = $1 and t.local
        and not exists (select 1 from skyq._queue_triggers(londiste.find_table_oid(t.table_name)) g where g.queue_name = $1)
      order by t.nr`,
    [queue],
  );
  for (const { table_name: table } of rows) {
    log.warning(`${table}: there is no trigger on it, its changes are not replicated`);
    log.info(
      `hint: skyq provider remove CONFIG ${table}, then provider add and subscriber add bring it back, by a copy`,
    );
  }
}

/** What skyq's trigger has to be told so that it logs what the old one logged. */
async function triggerArgs(tx: Queryable, { table_name: table, function_name: name, args }: OldTrigger) {
  // sqltriga's arguments are those of the others.
  if (name !== "logtriga") return args;
  const structure = await readStructure(tx, table);
  return attributeArgs(args[0] ?? "", structure?.columns ?? []);
}

/**
 * The second argument of `pgq.logtriga`, a letter per column (`k` key, `v` value, `i` or missing: not logged), in words.
 * @param columns live columns in their order
 * @example attributeArgs("kvi", [{ name: "a", isKey: true }, …]) → ["ignore=c"]
 */
export function attributeArgs(
  kinds: string,
  columns: readonly { readonly name: string; readonly isKey: boolean }[],
): string[] {
  const withKind = (isWanted: (kind: string) => boolean) =>
    columns.filter((_, index) => isWanted(kinds[index] ?? "i")).map((column) => column.name);
  const keys = withKind((kind) => kind === "k");
  const ignored = withKind((kind) => kind === "i");
  const words: string[] = [];
  if (keys.join() !== columns.filter((column) => column.isKey).map((column) => column.name).join()) {
    words.push(`pkey=${keys.join(",")}`);
  }
  if (ignored.length > 0) words.push(`ignore=${ignored.join(",")}`);
  return words;
}
