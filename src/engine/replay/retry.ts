// Quarantine by hand: what is in it, applying it after all, forgetting it.

import { SkyqError } from "../../base/errors.ts";
import { decodeUrl } from "../../codec/urlencode.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { getTableList, type TableRow } from "../../queue/londiste.ts";
import { hasQuarantine, type QuarantinedEvent, quarantinedEvents } from "../../queue/skyq.ts";
import { leftOut } from "../nodes/left_out.ts";
import { matchNames } from "../nodes/names.ts";
import { areAmong } from "./careful.ts";
import { jsonMembers, readJsonType, sqlRow } from "./events.ts";
import { keyNames } from "./parts.ts";
import { type ApplyPlan, Plans, type RowOp, rowParams } from "./plan.ts";
import { QUARANTINE_LOCK } from "./quarantine.ts";
import { blameOf, reasonOf, showKey } from "./refusal.ts";

/** Which events are meant: ids, tables or globs as typed, or all. */
export interface Chosen {
  readonly words: readonly string[];
  readonly all: boolean;
}

/** @throws {SkyqError} `not-installed` */
export async function requireQuarantine(db: Queryable): Promise<void> {
  if (await hasQuarantine(db)) return;
  throw new SkyqError("not-installed", "Cannot look into quarantine: the subscriber's schema skyq has none", {
    hint: "An older version made the schema: run `skyq subscriber install` again.",
  });
}

/**
 * Events in quarantine, in queue order.
 * @param none told of an event or a table that has nothing there
 * @throws {SkyqError} `not-found` for such a one, without `none`
 */
export async function chosenEvents(
  db: Queryable,
  queue: string,
  { words, all }: Chosen,
  none: (text: string) => void = refuse,
): Promise<QuarantinedEvent[]> {
  const events = await quarantinedEvents(db, queue);
  if (all) return events;
  const tables = [...new Set(events.map((event) => event.table_name))];
  const chosen = new Set<QuarantinedEvent>();
  for (const word of words) {
    const isId = /^\d{1,18}$/.test(word);
    const names = isId ? [] : matchNames(word, tables);
    const found = events.filter((event) => isId ? event.ev_id === BigInt(word) : names.includes(event.table_name));
    if (found.length === 0) {
      none(isId ? `Event ${word} is not in quarantine` : `No event of table ${word} is in quarantine`);
    }
    for (const event of found) chosen.add(event);
  }
  return events.filter((event) => chosen.has(event));
}

function refuse(text: string): never {
  throw new SkyqError("not-found", text, { hint: "`skyq quarantine list` shows what is." });
}

/** Forgets events. The subscriber lacks their changes from then on. @returns how many */
export async function dropEvents(db: Queryable, queue: string, events: readonly QuarantinedEvent[]): Promise<number> {
  await lock(db, queue);
  const gone = await db.query(
    "delete from skyq.quarantine q where q.queue_name = $1 and q.ev_id = any ($2::int8[]) returning 1",
    [queue, events.map((event) => event.ev_id)],
  );
  return gone.length;
}

/** What came of the events of one key, or of a whole table where keys cannot be told. */
export interface Retried {
  readonly table: string;
  readonly key: string | null;
  readonly events: readonly bigint[];
  /** Null: they are applied. */
  readonly error: string | null;
}

interface Group {
  readonly table: string;
  /** Null: all of the table. */
  readonly key: string | null;
}

/**
 * Applies what the events come to, key by key, each in a transaction of its own and with all events of the key: the row
 * as the last one has it, there or not. A key that has to wait for another one (a unique value that moves) is tried again
 * behind it.
 * @param db the replay's kind of connection: triggers keep quiet where the role may have them so
 * @param report is told of each key in the end
 * @returns whether all were applied
 * @throws {SkyqError} `lock-timeout` when a batch or another retry does not end in time; what else is no row's fault
 */
export async function retryEvents(
  db: WireConnection,
  queue: string,
  events: readonly QuarantinedEvent[],
  report: (result: Retried) => void,
): Promise<boolean> {
  const plans = new Plans(db);
  let groups = await groupsOf(db, queue, plans, events);
  for (;;) {
    const failed: { group: Group; result: Retried }[] = [];
    for (const group of groups) {
      const result = await retryGroup(db, queue, plans, group);
      if (result === null) continue;
      if (result.error === null) report(result);
      else failed.push({ group, result });
    }
    if (failed.length === 0) return true;
    if (failed.length === groups.length) {
      for (const { result } of failed) report(result);
      return false;
    }
    groups = failed.map(({ group }) => group);
  }
}

async function groupsOf(
  db: WireConnection,
  queue: string,
  plans: Plans,
  events: readonly QuarantinedEvent[],
): Promise<Group[]> {
  const groups = new Map<string, Group>();
  const isWhole = new Map<string, boolean>();
  for (const event of events) {
    const { table_name: table } = event;
    let whole = isWhole.get(table);
    if (whole === undefined) {
      whole = event.key === null || !await hasPlainKey(db, queue, plans, event);
      isWhole.set(table, whole);
    }
    const group = { table, key: whole ? null : event.key };
    groups.set(JSON.stringify(group), group);
  }
  return [...groups.values()];
}

/** Whether equal texts are what makes keys of the table equal. */
async function hasPlainKey(db: WireConnection, queue: string, plans: Plans, event: QuarantinedEvent) {
  try {
    const row = await tableRow(db, queue, event.table_name);
    const read = await readEvent(db, event, row.dest_table ?? row.table_name);
    return read.kind === "row" && (await planOf(plans, row, read)).hasCanonicalKey;
  } catch (error) {
    if (!(error instanceof SkyqError) || db.isClosed) throw error;
    return true; // What is wrong is said when the key's turn comes.
  }
}

async function lock(db: Queryable, queue: string): Promise<void> {
  try {
    await db.query(`select pg_catalog.pg_advisory_xact_lock(${QUARANTINE_LOCK})`, [queue]);
  } catch (error) {
    if (!(error instanceof SkyqError) || error.fault !== "lock-timeout") throw error;
    throw new SkyqError(
      "lock-timeout",
      "Cannot change quarantine: a batch is being applied, or another retry is at it",
      {
        hint: "Try again, with a longer lock_timeout if batches are long.",
        cause: error,
      },
    );
  }
}

/** @returns null when somebody else has dealt with it meanwhile */
async function retryGroup(db: WireConnection, queue: string, plans: Plans, group: Group): Promise<Retried | null> {
  const { table, key } = group;
  let at: QuarantinedEvent | null = null;
  let events: QuarantinedEvent[] = [];
  await db.exec("begin");
  try {
    await lock(db, queue);
    events = (await quarantinedEvents(db, queue))
      .filter((event) => event.table_name === table && (key === null || event.key === key));
    if (events.length === 0) {
      await db.exec("rollback");
      return null;
    }
    const row = await tableRow(db, queue, table);
    for (const event of events) {
      at = event;
      if (!await isOverruled(db, plans, row, event, events)) await applyOne(db, plans, row, event);
    }
    at = null;
    await dropEvents(db, queue, events);
    await db.exec("commit");
    return { table, key, events: events.map((event) => event.ev_id), error: null };
  } catch (error) {
    if (!db.isClosed) await db.exec("rollback").catch(() => {});
    const isOurs = error instanceof SkyqError && (error.fault === "structure" || error.fault === "refused");
    if (!(error instanceof SkyqError) || (!isOurs && blameOf(error) === "batch")) throw error;
    const reason = isOurs ? error.message : reasonOf(error);
    if (at !== null) {
      await db.query(
        `update skyq.quarantine q set retried_at = now(), error = $3, sqlstate = $4
          where q.queue_name = $1 and q.ev_id = $2`,
        [queue, at.ev_id, reason, error.sqlstate ?? null],
      );
    }
    return {
      table,
      key,
      events: events.map((event) => event.ev_id),
      error: at === null ? reason : `event ${at.ev_id} is refused: ${reason}`,
    };
  }
}

/** @throws {SkyqError} `refused` when the table is not where a retry is of use */
async function tableRow(db: Queryable, queue: string, table: string): Promise<TableRow> {
  const row = (await getTableList(db, queue)).find((each) => each.table_name === table);
  if (row?.local && row.merge_state !== null && row.merge_state !== "in-copy") return row;
  throw new SkyqError(
    "refused",
    row?.local
      ? `Table ${table} waits for a copy, which brings its rows`
      : `Table ${table} is not subscribed any more: drop its events`,
  );
}

type ReadEvent =
  | { readonly kind: "row"; readonly op: RowOp; readonly row: Map<string, string | null>; readonly keys: string[] }
  | { readonly kind: "sql"; readonly sql: string };

const OPS: Readonly<Record<string, RowOp>> = { I: "insert", U: "update", D: "delete" };

async function readEvent(db: Queryable, event: QuarantinedEvent, dest: string): Promise<ReadEvent> {
  const { ev_type: type, ev_data: data } = event;
  if (type.startsWith("{")) {
    const { op, pkey } = readJsonType({ evId: event.ev_id, type, extra1: event.table_name });
    return { kind: "row", op: op as RowOp, row: await jsonMembers(db, data ?? "{}"), keys: pkey };
  }
  if (!type.includes(":")) return { kind: "sql", sql: sqlRow(dest, { type, data })!.sql };
  const row = decodeUrl(data ?? "");
  return { kind: "row", op: OPS[type[0]!]!, row, keys: keyNames(type.slice(2), [...row.keys()]) };
}

function planOf(plans: Plans, row: TableRow, event: ReadEvent & { kind: "row" }): Promise<ApplyPlan> {
  return plans.get(row.table_name, row.dest_table ?? row.table_name, [...event.row.keys()], event.keys, leftOut(row));
}

/** Whether a later event of the same key says all that this one does: events carry whole rows. */
async function isOverruled(
  db: WireConnection,
  plans: Plans,
  row: TableRow,
  event: QuarantinedEvent,
  events: readonly QuarantinedEvent[],
): Promise<boolean> {
  if (event.key === null) return false;
  const later = new Set<string>();
  for (const other of events) if (other.ev_id > event.ev_id && other.key !== null) later.add(other.key);
  if (later.size === 0) return false;
  if (later.has(event.key)) return true;
  const read = await readEvent(db, event, row.dest_table ?? row.table_name);
  if (read.kind !== "row") return false;
  return (await areAmong(db, await planOf(plans, row, read), [event.key], later))[0]!;
}

async function applyOne(db: WireConnection, plans: Plans, row: TableRow, event: QuarantinedEvent): Promise<void> {
  const read = await readEvent(db, event, row.dest_table ?? row.table_name);
  if (read.kind === "sql") {
    await db.exec(read.sql);
    return;
  }
  const plan = await planOf(plans, row, read);
  if (read.op === "delete") {
    await db.query(plan.deleteOne.sql, rowParams(plan, "delete", read.row));
    return;
  }
  const updated = `with changed as (${plan.updateOne.sql} returning 1) select count(*)::int4 as count from changed`;
  const { count } = await one<{ count: number }>(db, updated, rowParams(plan, "update", read.row));
  if (count === 0) await db.query(plan.insertOne.sql, rowParams(plan, "insert", read.row));
}

/** A key for people; of a whole table nothing. */
export function shownKey(key: string | null): string {
  return key === null ? "" : ` ${showKey(key)}`;
}
