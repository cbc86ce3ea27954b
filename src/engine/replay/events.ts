// The events between the rows: truncation, rows in other forms, registration, sequences, scripts, members of the set.

import { messageWithDetail, SkyqError } from "../../base/errors.ts";
import type { EventText } from "../../codec/event_text.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName, quoteLiteral } from "../../db/quote.ts";
import { globalAddTable, globalRemoveSeq, globalRemoveTable, globalUpdateSeq } from "../../queue/londiste.ts";
import { dropRefusals } from "../../queue/skyq.ts";
import type { TakenTables } from "./parts.ts";
import { holdFollower, refuse } from "./careful.ts";
import type { BatchRun, Path, TakenTable } from "./path.ts";
import { keyOf, type RowOp, rowParams } from "./plan.ts";
import { blameOf } from "./refusal.ts";
import { decodeAttributes, runScript } from "./script.ts";
import { isVisible, parseSnapshot } from "./snapshot.ts";

/**
 * Applies one event that is no row in the set-based sense, after everything before it and before everything behind it.
 * @throws {SkyqError} `bad-event` for a type nobody here understands: to go on would lose data; of rows as `applyPart`
 */
export async function applyEvent(
  path: Path,
  tables: TakenTables,
  event: EventText,
  run: BatchRun,
): Promise<void> {
  const { stats } = run;
  const type = event.type ?? "";
  if (type === "R" || type === "I" || type === "U" || type === "D" || type.startsWith("{")) {
    const table = tables.get(event.extra1 ?? "");
    const isCopied = table?.snapshot != null && isVisible(parseSnapshot(table.snapshot), event.txid);
    if (table == null || isCopied) stats.ignored++;
    else await applyRowEvent(path, table, event, run);
    return;
  }
  if (!path.systemEvents) {
    stats.ignored++;
    return;
  }
  const db = path.subscriber;
  const data = event.data ?? "";
  switch (type) {
    case "EXECUTE":
      await execute(path, event);
      break;
    case "londiste.add-table":
      await globalAddTable(db, path.queue, data);
      break;
    case "londiste.remove-table":
      path.log.info(`Removing table ${data} from set`);
      await globalRemoveTable(db, path.queue, data);
      await dropRefusals(db, path.queue, data);
      break;
    case "T":
      // Londiste 2.1's list of registered tables. The upgrade has compared both sides' lists, which are newer.
      stats.ignored++;
      break;
    case "londiste.update-seq":
      await globalUpdateSeq(db, path.queue, event.extra1 ?? "", BigInt(data));
      break;
    case "londiste.remove-seq":
      await globalRemoveSeq(db, path.queue, data);
      break;
    case "pgq.location-info":
      await db.query("select ret_code from pgq_node.register_location($1, $2, $3, $4)", [
        path.queue,
        data,
        event.extra2,
        event.extra3 === "true",
      ]);
      break;
    case "pgq.unregister-location":
      await db.query("select ret_code from pgq_node.unregister_location($1, $2)", [path.queue, data]);
      break;
    case "pgq.global-watermark":
      await db.query("select ret_code from pgq_node.set_global_watermark($1, $2)", [path.queue, BigInt(data)]);
      break;
    default:
      if (type.startsWith("pgq.")) {
        stats.ignored++;
        break;
      }
      throw new SkyqError("bad-event", `Unhandled event type in queue: ${type}`, {
        hint: "The event was written by a trigger or a tool that this version does not know; replay stops before it.",
        facts: { evId: event.evId, extra1: event.extra1 },
      });
  }
}

/** A script of the root's `execute`: it runs here once, at its place among the changes. */
async function execute({ subscriber, queue, plans, log }: Path, event: EventText): Promise<void> {
  const file = event.extra1 ?? "";
  await plans.verify(); // what was applied so far; nobody can tell any more behind the script
  const script = { file, sql: event.data ?? "", attributes: decodeAttributes(event.extra2 ?? "") };
  try {
    await runScript(subscriber, script, { queue, isRoot: false, log });
  } catch (error) {
    if (!(error instanceof SkyqError) || subscriber.isClosed) throw error;
    throw new SkyqError(error.fault, `[ev_id=${event.evId},ev_txid=${event.txid}] ${messageWithDetail(error)}`, {
      hint: error.hint ?? "Replay stops before the script and tries again. Make what it needs; or do by hand what is " +
          `right here and have it passed over: select londiste.execute_start(${quoteLiteral(queue)}, ${
            quoteLiteral(file)
          }, '', false)`,
      facts: error.facts,
      ...(error.sqlstate === undefined ? {} : { sqlstate: error.sqlstate }),
      cause: error,
    });
  } finally {
    plans.clear();
  }
}

/** What a row event comes to here. */
interface RowStatement {
  readonly sql: string;
  readonly params: readonly (string | null)[];
  /** Null where the event does not tell. */
  readonly key: string | null;
  readonly columns: readonly string[] | null;
}

/** A row of `pgq.sqltriga` or `pgq.jsontriga`, or a truncation. */
async function applyRowEvent(path: Path, taken: TakenTable, event: EventText, run: BatchRun): Promise<void> {
  const { subscriber } = path;
  const { dest } = taken;
  const table = event.extra1!;
  const statement = event.type!.startsWith("{") ? await jsonRow(path, taken, event) : sqlRow(dest, event);
  if (statement === null) await run.quarantine.forget(table);
  const held = run.quarantine.of(table);
  const key = statement?.key ?? null;
  if (held !== null && (key === null || held.isWhole || held.keys.has(key))) {
    holdFollower(run, event, table, key);
    await run.quarantine.flush(run.tickId);
    return;
  }
  await subscriber.exec("savepoint skyq_event");
  try {
    if (statement === null) await subscriber.exec(`truncate ${quoteFullName(dest)} cascade`);
    else await subscriber.query(statement.sql, statement.params);
  } catch (error) {
    if (!(error instanceof SkyqError) || subscriber.isClosed || blameOf(error) === "batch") throw error;
    await subscriber.exec("rollback to savepoint skyq_event");
    await path.plans.verify();
    await refuse(path, run, event, { table, key, columns: statement?.columns ?? null }, error);
    await run.quarantine.flush(run.tickId);
  }
  await subscriber.exec("release savepoint skyq_event");
}

/** The partial SQL of `pgq.sqltriga`; null for a truncation. */
export function sqlRow(dest: string, { type, data }: Pick<EventText, "type" | "data">): RowStatement | null {
  const table = quoteFullName(dest);
  const sql = type === "I"
    ? `insert into ${table} ${data}`
    : type === "U"
    ? `update only ${table} set ${data}`
    : `delete from only ${table} where ${data}`;
  return type === "R" ? null : { sql, params: [], key: null, columns: null };
}

const JSON_OPS: Readonly<Record<string, RowOp>> = { INSERT: "insert", UPDATE: "update", DELETE: "delete" };

/** A row of `pgq.jsontriga`; null for a truncation. */
async function jsonRow(
  { subscriber, plans }: Path,
  { dest, leftOut }: TakenTable,
  event: EventText,
): Promise<RowStatement | null> {
  const { op, pkey } = readJsonType(event);
  if (op === "truncate") return null;
  const row = await jsonMembers(subscriber, event.data ?? "{}");
  const plan = await plans.get(event.extra1!, dest, [...row.keys()], pkey, leftOut);
  const { sql } = { insert: plan.insertOne, update: plan.updateOne, delete: plan.deleteOne }[op];
  return { sql, params: rowParams(plan, op, row), key: keyOf(plan, row), columns: [...row.keys()] };
}

/** @throws {SkyqError} `bad-event` when it is none of `pgq.jsontriga` */
export function readJsonType(
  { evId, type, extra1 }: Pick<EventText, "evId" | "type" | "extra1">,
): { op: RowOp | "truncate"; pkey: string[] } {
  try {
    const { op, pkey } = JSON.parse(type!);
    if (op === "TRUNCATE") return { op: "truncate", pkey: [] };
    if (JSON_OPS[op] !== undefined && Array.isArray(pkey)) return { op: JSON_OPS[op], pkey: pkey.map(String) };
  } catch {
    // Not JSON at all: said below.
  }
  throw new SkyqError("bad-event", `Cannot read event ${evId} of table "${extra1}": its type "${type}" is none`, {
    hint: "The event was written by a trigger or a tool that this version does not know; replay stops before it.",
  });
}

/** The members of an object as the server reads them: a number keeps its digits, what is nested its text. */
export async function jsonMembers(db: Queryable, data: string): Promise<Map<string, string | null>> {
  const rows = await db.query<{ name: string; value: string | null }>(
    "select j.key as name, j.value from pg_catalog.json_each_text($1::json) j",
    [data],
  );
  return new Map(rows.map(({ name, value }) => [name, value]));
}
