// Step 5 of 7, where the quick ways were refused: event by event, so that the one that cannot be applied is found.
//
// Events go out many at a time behind a savepoint; the server says how many it has done when it stops at one. Those
// before are sent again, that one is dealt with as the table's policy says, and the rest goes on behind it.

import { SkyqError } from "../../base/errors.ts";
import type { EventText } from "../../codec/event_text.ts";
import { decodeUrl } from "../../codec/urlencode.ts";
import type { Queryable } from "../../db/queryable.ts";
import type { RowsPiece } from "./parts.ts";
import type { BatchRun, Path } from "./path.ts";
import { type ApplyPlan, keyOf } from "./plan.ts";
import { FOLLOWS, hasQuarantine } from "./quarantine.ts";
import { blameOf, conflict, misfit, reasonOf, showKey } from "./refusal.ts";
import { noteMissedTags, prepare, sendRun } from "./run.ts";

/** Events behind one savepoint: as many as are likely to go well. */
const WINDOW_FIRST = 256;
const WINDOW_MAX = 1024;
/** Log lines about single events, per batch. */
const NOTES_MAX = 20;

/** Whether any event of the part is of a key that has events in quarantine. */
export async function meetsQuarantine(path: Path, { part, plans }: RowsPiece, run: BatchRun): Promise<boolean> {
  for (const id of part.tables()) {
    const plan = plans.get(id)!;
    const held = run.quarantine.of(plan.table);
    if (held === null) continue;
    if (held.isWhole) return true;
    const keys: string[] = [];
    for (const [, event] of part.eventsOf(id)) keys.push(keyOf(plan, decodeUrl(event.data ?? "")));
    if ((await areAmong(path.subscriber, plan, keys, held.keys)).some(Boolean)) return true;
  }
  return false;
}

/**
 * Applies the events of a part in queue order. Those that are refused, and those whose key is in quarantine, go there if
 * the policy of their table says so.
 * @throws {SkyqError} `apply-conflict` for an event that has to stop the batch or set its table aside, `structure` for a
 * table that takes no event, `StalePlans`
 */
export async function applyCarefully(path: Path, { part, plans }: RowsPiece, run: BatchRun): Promise<void> {
  await path.plans.verify();
  for (const id of part.tables()) {
    const plan = plans.get(id)!;
    try {
      await prepare(path.subscriber, [plan.insertOne, plan.updateOne, plan.deleteOne]);
    } catch (error) {
      throw blameOf(error) === "batch" ? error : tableRefused(plan.table, error as SkyqError);
    }
  }
  const byName = new Map([...plans.values()].map((plan) => [plan.table, plan]));
  let window = WINDOW_FIRST;
  let firstRow = 0;
  for (const piece of part.emitOrdered()) {
    const ends = eventEnds(piece.bytes);
    for (let at = 0; at < ends.length;) {
      const end = Math.min(ends.length, at + window);
      const events = new LazyEvents((i) => part.event(firstRow + i), byName);
      const stoppedAt = await applyWindow(path, run, events, piece.bytes, ends, at, end);
      if (stoppedAt === null) {
        at = end;
        window = Math.min(2 * window, WINDOW_MAX);
      } else {
        at = stoppedAt + 1;
        window = Math.max(1, window >> 2);
      }
      if (run.quarantine.isFull) await run.quarantine.flush(run.tickId);
    }
    firstRow += ends.length;
  }
  await run.quarantine.flush(run.tickId);
}

/** Events of a piece, read as text where that is needed. */
class LazyEvents {
  readonly #read: (index: number) => EventText;
  readonly #plans: ReadonlyMap<string, ApplyPlan>;

  constructor(read: (index: number) => EventText, plans: ReadonlyMap<string, ApplyPlan>) {
    this.#read = read;
    this.#plans = plans;
  }

  at(index: number): { event: EventText; plan: ApplyPlan; key: string } {
    const event = this.#read(index);
    const plan = this.#plans.get(event.extra1!)!;
    return { event, plan, key: keyOf(plan, decodeUrl(event.data ?? "")) };
  }
}

/** @returns the event that was refused and dealt with, null when all were applied; those behind it are still to do */
async function applyWindow(
  path: Path,
  run: BatchRun,
  events: LazyEvents,
  bytes: Uint8Array,
  ends: readonly number[],
  begin: number,
  end: number,
): Promise<number | null> {
  const { subscriber } = path;
  const following = await whoFollows(path, run, events, begin, end);
  const sent: number[] = [];
  for (let i = begin; i < end; i++) if (!following.has(i)) sent.push(i);
  const send = (count: number) =>
    sendRun(subscriber, async (sendRaw) => {
      for (let i = 0; i < count;) {
        const from = sent[i]!;
        let to = from;
        for (; i < count && sent[i] === to; i++) to++;
        await sendRaw(bytes.subarray(from === 0 ? 0 : ends[from - 1], ends[to - 1]));
      }
    });

  const savepoint = subscriber.exec("savepoint skyq_events");
  savepoint.catch(() => {});
  let tags: string[];
  let refused: { at: number; error: SkyqError } | null = null;
  try {
    tags = await send(sent.length);
    await savepoint;
  } catch (error) {
    if (!(error instanceof SkyqError) || subscriber.isClosed || blameOf(error) === "batch") throw error;
    const done = error.facts.index;
    if (typeof done !== "number" || done >= sent.length) throw error;
    await subscriber.exec("rollback to savepoint skyq_events");
    tags = await send(done);
    refused = { at: sent[done]!, error };
  }
  await subscriber.exec("release savepoint skyq_events");
  if (!path.upsert) noteMissedTags(path, run.stats, tags, (i) => events.at(sent[i]!).plan.table);
  for (const i of following) {
    if (refused === null || i < refused.at) follow(run, events.at(i));
  }
  if (refused === null) return null;
  const { event, plan, key } = events.at(refused.at);
  await refuse(
    path,
    run,
    event,
    { table: plan.table, key, columns: plan.columns.map(({ name }) => name) },
    refused.error,
  );
  return refused.at;
}

/** Where each event's messages end: a Bind and an Execute each. */
function eventEnds(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ends: number[] = [];
  for (let at = 0; at < bytes.length;) {
    at += 1 + view.getInt32(at + 1);
    at += 1 + view.getInt32(at + 1);
    ends.push(at);
  }
  return ends;
}

/** The events of a window whose keys have events in quarantine. */
async function whoFollows(
  path: Path,
  run: BatchRun,
  events: LazyEvents,
  begin: number,
  end: number,
): Promise<ReadonlySet<number>> {
  const following = new Set<number>();
  if (run.quarantine.isEmpty) return following;
  const asked = new Map<ApplyPlan, { indices: number[]; keys: string[] }>();
  for (let i = begin; i < end; i++) {
    const { plan, key } = events.at(i);
    const held = run.quarantine.of(plan.table);
    if (held === null) continue;
    if (held.isWhole) {
      following.add(i);
      continue;
    }
    const ask = asked.get(plan) ?? { indices: [], keys: [] };
    asked.set(plan, ask);
    ask.indices.push(i);
    ask.keys.push(key);
  }
  for (const [plan, { indices, keys }] of asked) {
    const among = await areAmong(path.subscriber, plan, keys, run.quarantine.of(plan.table)!.keys);
    among.forEach((isAmong, n) => isAmong && following.add(indices[n]!));
  }
  return following;
}

/** Which keys are among those held. Where their text does not tell, the server compares them as the table would. */
export async function areAmong(
  db: Queryable & { exec(sql: string): Promise<unknown> },
  plan: ApplyPlan,
  keys: readonly string[],
  held: ReadonlySet<string>,
): Promise<boolean[]> {
  const byText = keys.map((key) => held.has(key));
  if (plan.hasCanonicalKey || byText.every(Boolean)) return byText;
  const columnsOf = (texts: readonly string[]) => {
    const rows = texts.map((text) => decodeUrl(text));
    return plan.keyNames.map((name) => rows.map((row) => row.get(name) ?? null));
  };
  const width = plan.keyNames.length;
  const unnest = (first: number) => `unnest(${plan.keyNames.map((_, i) => `$${first + i}::text[]`).join(", ")})`;
  const names = (letter: string) => plan.keyNames.map((_, i) => `${letter}${i}`).join(", ");
  const same = plan.keyNames.map((name, i) => {
    const type = plan.target.columns.get(name)!.castType;
    return `a.a${i}::${type} = b.b${i}::${type}`;
  });
  await db.exec("savepoint skyq_keys");
  try {
    const rows = await db.query<{ nth: bigint }>(
      `select distinct a.nth from ${unnest(1)} with ordinality a (${names("a")}, nth),
              ${unnest(1 + width)} b (${names("b")}) where ${same.join(" and ")}`,
      [...columnsOf(keys), ...columnsOf([...held])],
    );
    await db.exec("release savepoint skyq_keys");
    const among = [...byText];
    for (const { nth } of rows) among[Number(nth) - 1] = true;
    return among;
  } catch (error) {
    if (blameOf(error) === "batch") throw error;
    // A key that is no value of its type can be equal to none.
    await db.exec("rollback to savepoint skyq_keys");
    return byText;
  }
}

function follow(run: BatchRun, { event, plan, key }: { event: EventText; plan: ApplyPlan; key: string }): void {
  holdFollower(run, event, plan.table, key);
}

/** An event goes behind the earlier ones of its key. */
export function holdFollower(run: BatchRun, event: EventText, table: string, key: string | null): void {
  run.quarantine.add({
    table,
    key,
    evId: event.evId,
    txid: event.txid,
    type: event.type!,
    data: event.data,
    sqlstate: null,
    error: FOLLOWS,
  });
  run.stats.quarantined++;
  note(
    run,
    () =>
      `Event ${event.evId} of ${table}${key === null ? "" : `, key ${showKey(key)}`} went to quarantine: ${FOLLOWS}`,
  );
}

function note(run: BatchRun, text: () => string): void {
  if (run.notes.length < NOTES_MAX) run.notes.push(text());
}

/**
 * An event that the server has refused, after everything it did was taken back: into quarantine, or thrown.
 * @param of the event's table and key, and the columns it has (null: not known)
 * @throws {SkyqError} as `applyCarefully`
 */
export async function refuse(
  path: Path,
  run: BatchRun,
  event: EventText,
  of: { table: string; key: string | null; columns: readonly string[] | null },
  error: SkyqError,
): Promise<void> {
  const { table, key, columns } = of;
  if (blameOf(error) === "table") throw tableRefused(table, error);
  const { column } = error.facts;
  if (error.sqlstate === "23502" && typeof column === "string" && columns?.includes(column) === false) {
    throw misfit(
      table,
      `${reasonOf(error)}; the provider's table has no column "${column}"`,
      `Give the column a default on the subscriber, or make it nullable; the table goes on by itself.`,
      error,
    );
  }
  const policy = path.policy?.onError(table) ?? "stop";
  const fail = (hint: string, facts: Record<string, unknown> = {}) => {
    const failure = conflict(event, key, run.tickId, error, hint);
    Object.assign(failure.facts, facts);
    return failure;
  };
  if (policy === "stop" || (policy === "quarantine" && !await hasQuarantine(path.subscriber))) {
    throw fail(
      "Replay stops before this batch and tries again. Mend the row on the subscriber, or copy the table anew with " +
        "`skyq subscriber resync`; on_error = quarantine or skip-table lets the others go on." +
        (policy === "stop" ? "" : " There is no quarantine yet: run `skyq subscriber install` once."),
    );
  }
  if (policy === "skip-table") throw fail(`See \`skyq subscriber resync CONFIG ${table}\`.`, { setAside: true });
  const held = run.quarantine.of(table)?.count ?? 0;
  if (held >= path.policy!.quarantineMax) {
    throw fail(`See \`skyq subscriber resync CONFIG ${table}\`.`, { setAside: true, held });
  }
  run.quarantine.add({
    table,
    key,
    evId: event.evId,
    txid: event.txid,
    type: event.type!,
    data: event.data,
    sqlstate: error.sqlstate ?? null,
    error: reasonOf(error),
  });
  run.stats.quarantined++;
  note(
    run,
    () =>
      `Event ${event.evId} of ${table}${key === null ? "" : `, key ${showKey(key)}`} went to quarantine: ${
        reasonOf(error)
      }`,
  );
}

/** No event of the table can be applied as things are. */
export function tableRefused(table: string, error: SkyqError): SkyqError {
  return misfit(
    table,
    reasonOf(error),
    error.hint ?? "`skyq subscriber check` compares both sides; the table goes on by itself once it fits.",
    error,
  );
}
