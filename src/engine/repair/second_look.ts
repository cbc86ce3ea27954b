// Whether a row that differed at first sight really does, though both sides are written all the time.
//
// The subscriber's rows belong to one tick of the queue, C: its position and its rows commit together. The provider is
// read after that, so it has all that C has, and perhaps more; what it has more of stands in the queue as events that C
// does not see. A row without such an event must be the same on both sides: if it is not, that is a true difference.
// A row with one is in flight, and is looked at again later.

import { SkyqError } from "../../base/errors.ts";
import { one } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { decodeUrl, encodeUrl } from "../../codec/urlencode.ts";
import type { Replication } from "./connections.ts";
import { readRowsByKey, sameRow, textOf } from "./keyed.ts";
import type { KeyColumn, Layout } from "./layout.ts";
import type { Cell, Difference } from "./walk.ts";

/** What a second look found of one row. */
export type Verdict =
  | { readonly is: "equal" }
  /** As it is now. */
  | { readonly is: "different"; readonly difference: Difference }
  /** Not to be told yet. */
  | { readonly is: "in flight" };

export interface Look {
  /** In a transaction of REPEATABLE READ; `position` was read in it. */
  readonly target: WireConnection;
  /** Outside of transactions. */
  readonly source: WireConnection;
  readonly layout: Layout;
  /** The first look was at some rows only: one that it did not find may have been left out. */
  readonly isRestricted: boolean;
  /** What brings changes from source to target; null: nobody knows, and rows that have changed since are in flight. */
  readonly replication: (Replication & { readonly table: string; readonly position: bigint }) | null;
}

/** What both sides have now under some keys, in their order. */
async function readBoth({ layout, source, target, replication }: Look, keys: readonly (readonly Cell[])[]) {
  const targetRows = await readRowsByKey(target, layout, "target", keys);
  await source.exec("begin isolation level repeatable read read only");
  try {
    const isInFlight = replication === null ? () => false : await keysInFlight(source, layout, replication);
    return { targetRows, sourceRows: await readRowsByKey(source, layout, "source", keys), isInFlight };
  } finally {
    if (!source.isClosed) await source.exec("rollback");
  }
}

/** Looks at rows that nobody has looked at before. @returns a verdict for each key, in their order */
export async function lookAt(look: Look, keys: readonly (readonly Cell[])[]): Promise<Verdict[]> {
  const { sourceRows, targetRows, isInFlight } = await readBoth(look, keys);
  return keys.map((key, index) => {
    const [from, to] = [sourceRows[index]!, targetRows[index]!];
    if (isInFlight(key)) return { is: "in flight" };
    return sameRow(from, to)
      ? { is: "equal" }
      : { is: "different", difference: differenceOf(look.layout, key, from, to) };
  });
}

/** Looks at rows again. @returns a verdict for each of `first`, in its order */
export async function lookAgain(look: Look, first: readonly Difference[]): Promise<Verdict[]> {
  const { layout, isRestricted, replication } = look;
  const { sourceRows, targetRows, isInFlight } = await readBoth(look, first.map(({ key }) => key));
  const hasLooseKey = layout.key.some((column) => column.isLoose);
  const told = new Set<string>();
  const different = (before: Difference, from: readonly Cell[] | null, to: readonly Cell[] | null): Verdict => {
    const difference = differenceOf(layout, before.key, from, to);
    if (hasLooseKey && difference.kind === "update") {
      // Two spellings of a key were two differences at first; found by either they are one.
      const text = JSON.stringify(difference.key.map((cell) => cell && textOf(cell)));
      if (told.has(text)) return { is: "equal" };
      told.add(text);
    }
    return { is: "different", difference };
  };
  return first.map((before, index) => {
    const [from, to] = [sourceRows[index]!, targetRows[index]!];
    if (replication === null) {
      if (sameRow(from, to)) return { is: "equal" };
      const isOtherSpelling = (now: readonly Cell[] | null) =>
        hasLooseKey && now !== null && !sameRow(now.slice(0, layout.key.length), before.key);
      const isAsBefore = (now: readonly Cell[] | null, then: readonly Cell[] | null) =>
        sameRow(now, then) || (then === null && (isRestricted || isOtherSpelling(now)));
      return isAsBefore(from, before.source) && isAsBefore(to, before.target)
        ? different(before, from, to)
        : { is: "in flight" };
    }
    const keysNow = [from, to].flatMap((row) => row === null ? [] : [row.slice(0, layout.key.length)]);
    if ([before.key, ...keysNow].some(isInFlight)) return { is: "in flight" };
    return sameRow(from, to) ? { is: "equal" } : different(before, from, to);
  });
}

function differenceOf(
  layout: Layout,
  key: readonly Cell[],
  source: readonly Cell[] | null,
  target: readonly Cell[] | null,
): Difference {
  const kind = target === null ? "insert" : source === null ? "delete" : "update";
  return { kind, key: (source ?? target)?.slice(0, layout.key.length) ?? key, source, target };
}

/** More events than this between subscriber and provider, and every row counts as in flight. */
const EVENTS_MAX = 50_000;

/** Reads the keys of the events that the subscriber's position does not have. */
async function keysInFlight(
  source: WireConnection,
  layout: Layout,
  { queue, table, position }: Replication & { table: string; position: bigint },
): Promise<(key: readonly Cell[]) => boolean> {
  const rows = await source.query<{ prefix: string; snapshot: string | null; xmin: bigint | null }>(
    `select q.queue_data_pfx as prefix, t.tick_snapshot::text as snapshot,
            pg_catalog.txid_snapshot_xmin(t.tick_snapshot) as xmin
       from pgq.queue q left join pgq.tick t on t.tick_queue = q.queue_id and t.tick_id = $2
      where q.queue_name = $1`,
    [queue, position],
  );
  const tick = rows[0];
  if (tick === undefined || tick.snapshot === null || tick.xmin === null) {
    throw new SkyqError(
      "lost-position",
      `Cannot look into queue "${queue}": tick ${position} of the subscriber is gone`,
      {
        hint: "Has the subscriber been unregistered, or the provider been restored from a backup?",
      },
    );
  }
  // The parent's name reads all event tables, each by its index on ev_txid.
  // Of each event only the key: its row may be large.
  const events = await source.query<{ ev_type: string | null; key: (string | null)[] }>(
    `select e.ev_type, array[${layout.key.map((_, i) => `substring(e.ev_data from $${i + 4})`).join(", ")}] as key
       from ${quoteFullName(tick.prefix)} e
      where e.ev_txid >= $1 and not pg_catalog.txid_visible_in_snapshot(e.ev_txid, $2::text::pg_catalog.txid_snapshot)
        and e.ev_extra1 = $3
      limit ${EVENTS_MAX + 1}`,
    [tick.xmin, tick.snapshot, table, ...layout.key.map(({ name }) => patternOf(name))],
  );
  if (events.length > EVENTS_MAX) return () => true;
  if (!layout.key.every(isPlainText)) return () => events.length > 0;
  const seen = new Set<string>();
  for (const { ev_type, key } of events) {
    // A truncation, or something that we do not understand, may have to do with any row.
    if (!/^[IUD]:/.test(ev_type ?? "") || key.includes(null)) return () => true;
    seen.add(keyText(layout, key.map((value) => decodeUrl(`v=${value}`).get("v")!)));
  }
  return (key) => seen.has(keyText(layout, key.map((cell) => cell === null ? null : textOf(cell))));
}

/** A regular expression of the server's that finds a column's value, still encoded, in an event. */
function patternOf(column: string): string {
  const name = encodeUrl({ [column]: "" }).replace(/[^0-9A-Za-z_=]/g, "\\$&");
  return `(?:^|&)${name}([^&]*)`;
}

/** Types whose text is the same whoever writes it; a writer's session may have shown any other in a way of its own. */
const PLAIN_TEXT = new Set(["int2", "int4", "int8", "oid", "uuid", "text", "varchar", "bpchar", "name"]);

/** Whether a key cell can be compared with that in an event. */
function isPlainText({ source, target }: KeyColumn): boolean {
  return PLAIN_TEXT.has(source.builtin) && PLAIN_TEXT.has(target.builtin);
}

function keyText(layout: Layout, cells: readonly (string | null)[]): string {
  const isPadded = (n: number) =>
    layout.key[n]!.source.builtin === "bpchar" || layout.key[n]!.target.builtin === "bpchar";
  return JSON.stringify(cells.map((cell, n) => isPadded(n) ? cell?.trimEnd() : cell));
}

/** The subscriber's position, as the transaction of `target` sees it. @throws {SkyqError} `not-found` */
export async function positionOf(
  target: WireConnection,
  { queue, consumer }: Replication,
  { isLocked }: { isLocked: boolean },
): Promise<bigint> {
  if (!isLocked) {
    const { tick } = await one<{ tick: bigint | null }>(
      target,
      "select completed_tick as tick from pgq_node.get_consumer_state($1, $2)",
      [queue, consumer],
    );
    if (tick !== null) return tick;
  } else {
    // Until we are done the replay cannot commit a batch. In REPEATABLE READ one that has committed since is an error.
    const rows = await target.query<{ tick: bigint }>(
      `select s.last_tick_id as tick from pgq_node.local_state s
        where s.queue_name = $1 and s.consumer_name = $2 for update`,
      [queue, consumer],
    );
    if (rows[0] !== undefined) return rows[0].tick;
  }
  throw new SkyqError("not-found", `No such consumer: "${consumer}" of queue "${queue}" on the subscriber`);
}
