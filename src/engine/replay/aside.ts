// A table that keeps a batch from being applied is taken out of the replay's way, so that all others go on.
//
//   paused     its structure does not fit at present: from its batch on its events wait in the queue, for a copy's task
//              that begins with the catch-up. It tries again and again, and hands the table over once it has caught up.
//   set aside  by policy, after a row was refused: its events are passed over from now on, until it is copied anew.

import { SkyqError } from "../../base/errors.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { splitName } from "../../db/quote.ts";
import { getTableList, moveTableState, type TableRow } from "../../queue/londiste.ts";
import { type Batch, registerConsumerAt } from "../../queue/pgq.ts";
import { getConsumerState, registerTargetConsumer } from "../../queue/pgq_node.ts";
import { copyConsumerName } from "../copy/table_copy.ts";
import type { Path } from "./path.ts";
import { hasQuarantine } from "./quarantine.ts";
import { misfit } from "./refusal.ts";

/**
 * Decides about a batch's error, with the subscriber rolled back.
 * @returns whether the error was one table's, and that table is out of the way now
 * @throws {SkyqError} what kept it from being taken out of the way
 */
export async function takeTableAside(path: Path, batch: Batch, error: unknown): Promise<boolean> {
  if (!(error instanceof SkyqError) || path.subscriber.isClosed || path.provider.isClosed) return false;
  const { table } = error.facts;
  if (typeof table !== "string") return false;
  if (error.fault === "structure") return await pause(path, batch, table, error);
  if (error.fault !== "apply-conflict") return false;
  if (error.facts.setAside === true) return await setAside(path, table, error);
  const policy = path.policy?.onError(table) ?? "stop";
  // A value that does not fit is a matter of structure where the two sides' types differ.
  if (policy !== "stop" || !error.sqlstate?.startsWith("22")) return false;
  const differences = await typeDifferences(path, table);
  if (differences.length === 0) return false;
  const reason = `${differences.join(", ")}: ${error.message}`;
  return await pause(path, batch, table, misfit(table, reason, "Give the column the provider's type.", error));
}

async function rowOf({ subscriber, queue }: Path, table: string): Promise<TableRow | null> {
  const row = (await getTableList(subscriber, queue)).find((each) => each.table_name === table);
  return row?.local && row.merge_state === "ok" ? row : null;
}

async function pause(path: Path, batch: Batch, table: string, error: SkyqError): Promise<boolean> {
  const { provider, subscriber, queue, log } = path;
  const row = await rowOf(path, table);
  if (row === null) return false;
  const consumer = copyConsumerName(path.consumer, table);
  // The provider first: a position there that nobody uses is found and removed, an event that is gone is gone.
  await registerConsumerAt(provider, queue, consumer, batch.prevTickId);
  const worker = await getConsumerState(subscriber, queue, path.consumer);
  const isPaused = await inTransaction(subscriber, async () => {
    await registerTargetConsumer(subscriber, queue, consumer, worker!.provider_node!, batch.prevTickId);
    await subscriber.query(
      `insert into skyq.copy_state as s (queue_name, table_name, error, error_time) values ($1, $2, $3, now())
       on conflict (queue_name, table_name) do update set error = excluded.error, error_time = now()`,
      [queue, table, error.message],
    );
    return await moveTableState(subscriber, {
      queue,
      table,
      from: "ok",
      to: "catching-up",
      snapshot: row.custom_snapshot,
    });
  });
  if (!isPaused) return false;
  log.error(`Table ${table} is paused, its changes wait in the queue, the other tables go on: ${error.message}`);
  if (error.hint !== undefined) log.info(`hint: ${error.hint}`);
  return true;
}

async function setAside(path: Path, table: string, error: SkyqError): Promise<boolean> {
  const { subscriber, queue, log } = path;
  if (await rowOf(path, table) === null || !await hasQuarantine(subscriber)) return false;
  const held = typeof error.facts.held === "number" ? `${error.facts.held} events in quarantine, and one more: ` : "";
  const isAside = await inTransaction(subscriber, async () => {
    await subscriber.query(
      `insert into skyq.set_aside (queue_name, table_name, ev_id, sqlstate, error) values ($1, $2, $3, $4, $5)
       on conflict (queue_name, table_name) do update
          set ev_id = excluded.ev_id, sqlstate = excluded.sqlstate, error = excluded.error, set_aside_at = now()`,
      [queue, table, error.facts.evId as bigint, error.sqlstate ?? null, held + error.message],
    );
    return await moveTableState(subscriber, { queue, table, from: "ok", to: null, snapshot: null });
  });
  if (!isAside) return false;
  log.error(`Table ${table} is set aside, the other tables go on: ${held}${error.message}`);
  log.info(`hint: Mend the cause, then \`skyq subscriber resync CONFIG ${table}\` copies it anew.`);
  return true;
}

async function inTransaction(db: WireConnection, work: () => Promise<boolean>): Promise<boolean> {
  await db.exec("begin");
  try {
    const isDone = await work();
    await db.exec(isDone ? "commit" : "rollback");
    return isDone;
  } catch (error) {
    if (!db.isClosed) await db.exec("rollback").catch(() => {});
    throw error;
  }
}

/** @example ['column "v" is text on the provider, integer on the subscriber'] */
async function typeDifferences(path: Path, table: string): Promise<string[]> {
  const row = await rowOf(path, table);
  if (row === null) return [];
  const there = await columnTypes(path.provider, table);
  const here = await columnTypes(path.subscriber, row.dest_table ?? table);
  return [...there].flatMap(([name, type]) => {
    const other = here.get(name);
    return other === undefined || other === type
      ? []
      : [`column "${name}" is ${type} on the provider, ${other} on the subscriber`];
  });
}

async function columnTypes(db: WireConnection, fullName: string): Promise<Map<string, string>> {
  const { schema, name } = splitName(fullName);
  const rows = await db.query<{ name: string; type: string }>(
    `select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where n.nspname = $1 and c.relname = $2 order by a.attnum`,
    [schema, name],
  );
  return new Map(rows.map((row) => [row.name, row.type]));
}
