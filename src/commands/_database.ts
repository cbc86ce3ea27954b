// What the commands about queues and consumers share: one database, its queues, and how they are shown.

import type { ArgSpec, CommandContext } from "../cli/command.ts";
import { SkyqError } from "../base/errors.ts";
import { formatSeconds } from "../base/units.ts";
import type { SqlConnection } from "../db/sql.ts";
import { queueGrant, requirePgq } from "../engine/queue_admin/names.ts";
import type { ConsumerState, Event } from "../queue/pgq.ts";
import { withSql } from "./_pair.ts";
import { tickerTarget } from "./_targets.ts";

/** Connects to the database that the config names (`db`, or a pair's `provider_db`) for the length of `work`. */
export async function withDatabase<T>(ctx: CommandContext, work: (db: SqlConnection) => Promise<T>): Promise<T> {
  return await withSql(ctx, tickerTarget(ctx.config), work);
}

/** The same, where queues have to be there. @throws {SkyqError} `not-installed`, `privilege` with what grants it */
export async function withQueues<T>(ctx: CommandContext, work: (db: SqlConnection) => Promise<T>): Promise<T> {
  return await withDatabase(ctx, async (db) => {
    await requirePgq(db);
    try {
      return await work(db);
    } catch (error) {
      if (!(error instanceof SkyqError) || error.fault !== "privilege" || db.isClosed) throw error;
      const { message, facts, sqlstate, cause } = error;
      throw new SkyqError("privilege", message, { hint: await queueGrant(db), facts, sqlstate, cause });
    }
  });
}

export const JSON_OPTION = { kind: "flag", help: "one JSON object per line" } as const;

export const QUEUE_ARG = { name: "QUEUE", help: "queue", required: true } as const satisfies ArgSpec;
export const SOME_QUEUE_ARG = {
  name: "QUEUE",
  help: "queue; where it is left out, the config's pgq_queue_name, else all",
} as const satisfies ArgSpec;
export const CONSUMER_ARG = { name: "CONSUMER", help: "consumer of it", required: true } as const satisfies ArgSpec;
export const EVENTS_ARG = {
  name: "EVENT",
  help: "id of an event (ev_id)",
  many: true,
} as const satisfies ArgSpec;

/** The queue that was named, else the config's, else null. */
export function queueOf(ctx: CommandContext, args: readonly string[]): string | null {
  return args[0] ?? ctx.config.get("pgq_queue_name");
}

/** Two names that the frame has checked to be there. */
export function queueAndConsumer(args: readonly string[]): [queue: string, consumer: string, ...rest: string[]] {
  return args as [string, string, ...string[]];
}

/** Each once. @throws {SkyqError} `usage` */
export function eventIds(words: readonly string[]): bigint[] {
  const ids = words.map((word) => {
    if (/^\d{1,18}$/.test(word)) return BigInt(word);
    throw new SkyqError("usage", `Cannot read event "${word}": it is no number`);
  });
  return [...new Set(ids)];
}

/** @throws {SkyqError} `usage` unless either events are named or all are meant */
export function requireEventsOrAll(verb: string, ids: readonly bigint[], isAll: boolean): void {
  if (isAll && ids.length > 0) throw new SkyqError("usage", `Cannot ${verb}: events are named, and --all is given`);
  if (!isAll && ids.length === 0) throw new SkyqError("usage", `Cannot ${verb}: name events, or use --all`);
}

/** @throws {SkyqError} `usage` */
export function tickId(text: string | null): bigint | null {
  if (text === null) return null;
  if (/^\d{1,18}$/.test(text)) return BigInt(text);
  throw new SkyqError("usage", `Cannot read tick "${text}": it is no number`);
}

/** A span of seconds for people; null stays null. */
export function span(seconds: number | null): string | null {
  return seconds === null ? null : formatSeconds(Math.abs(seconds) < 60 ? Math.round(seconds * 10) / 10 : seconds);
}

export const CONSUMER_COLUMNS = [
  { key: "queue_name", title: "queue" },
  { key: "consumer_name", title: "consumer" },
  "lag",
  { key: "last_seen", title: "last seen" },
  { key: "last_tick", title: "tick" },
  { key: "pending_events", title: "pending" },
  { key: "current_batch", title: "batch" },
] as const;

export function consumerRow(row: ConsumerState): Record<string, unknown> {
  return { ...row, lag: span(row.lag), last_seen: span(row.last_seen) };
}

/** Events as a table, or one object per line. */
export function printEvents(ctx: CommandContext, events: readonly Event[], { json }: { json: boolean }): void {
  if (json) {
    for (const event of events) ctx.out.json(event);
    return;
  }
  const extras = (["ev_extra1", "ev_extra2", "ev_extra3", "ev_extra4"] as const)
    .filter((key) => events.some((event) => event[key] !== null));
  ctx.out.table(
    ["ev_id", "ev_time", "ev_txid", "ev_retry", "ev_type", "ev_data", ...extras],
    events.map((event) => ({ ...event })),
  );
}
