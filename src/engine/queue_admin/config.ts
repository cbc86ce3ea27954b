// Settings of a queue: pgq's own, and skyq's limits, under one roof.

import { SkyqError } from "../../base/errors.ts";
import { formatBytes, formatSeconds } from "../../base/units.ts";
import { didYouMean } from "../../base/nearest.ts";
import { asInput } from "../../db/errors.ts";
import type { Transaction } from "../../db/sql.ts";
import type { Queryable } from "../../db/queryable.ts";
import { queueInfo, setQueueConfig } from "../../queue/pgq.ts";
import { hasSkyq, queuePolicies, setQueuePolicy } from "../../queue/skyq.ts";
import { requireQueue, requireSkyq } from "./names.ts";

/** How a setting's text is meant: spans without a unit are seconds. */
type Kind = "count" | "span" | "flag" | "size" | "word";

interface Setting {
  readonly kind: Kind;
  /** Which function sets it: pgq.set_queue_config, a plain update of pgq.queue, or skyq.set_queue_policy. */
  readonly by: "config" | "update" | "policy";
  readonly help: string;
}

/** Every setting, in the order they are shown. */
export const SETTINGS = {
  ticker_max_count: { kind: "count", by: "config", help: "tick when this many events wait" },
  ticker_max_lag: { kind: "span", by: "config", help: "tick when an event has waited this long" },
  ticker_idle_period: { kind: "span", by: "config", help: "longest pause between ticks without events" },
  ticker_paused: { kind: "flag", by: "config", help: "no ticks" },
  rotation_period: { kind: "span", by: "config", help: "shortest time between two rotations of the event tables" },
  external_ticker: { kind: "flag", by: "config", help: "ticks come from another node" },
  disable_insert: { kind: "flag", by: "update", help: "refuse new events" },
  per_tx_limit: { kind: "count", by: "update", help: "events that one transaction may write, empty: no limit" },
  max_size: { kind: "size", by: "policy", help: "bound of the event tables, such as 10GB, empty: none" },
  max_lag: { kind: "span", by: "policy", help: "how far consumers may fall behind, empty: no limit" },
  on_full: { kind: "word", by: "policy", help: "over max_size: warn, pause (refuse events) or drop-consumer" },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;

/** Settings of one queue: counts as numbers, spans in seconds, sizes in bytes; null: no limit. */
export type QueueSettings = { readonly queue: string } & { readonly [K in SettingName]: unknown };

/** @param queue null stands for all */
export async function readSettings(db: Queryable, queue: string | null): Promise<QueueSettings[]> {
  if (queue !== null) await requireQueue(db, queue);
  const policies = await hasSkyq(db) ? await queuePolicies(db, queue) : [];
  return (await queueInfo(db, queue)).map((info) => {
    const policy = policies.find((row) => row.queue_name === info.queue_name);
    return {
      queue: info.queue_name,
      ticker_max_count: info.ticker_max_count,
      ticker_max_lag: info.ticker_max_lag,
      ticker_idle_period: info.ticker_idle_period,
      ticker_paused: info.ticker_paused,
      rotation_period: info.rotation_period,
      external_ticker: info.external_ticker,
      disable_insert: info.disable_insert,
      per_tx_limit: info.per_tx_limit,
      max_size: policy?.max_size ?? null,
      max_lag: policy?.max_lag ?? null,
      on_full: policy?.on_full ?? "warn",
    };
  });
}

/** A setting's value as a person reads it. */
export function settingText(name: SettingName, value: unknown): string {
  if (value === null) return "-";
  const { kind } = SETTINGS[name];
  if (kind === "span") return formatSeconds(value as number);
  if (kind === "size") return formatBytes(value as bigint);
  return String(value);
}

/** Whether a word is meant as a setting: `name=value` with the name of one. */
export function isSetting(text: string): boolean {
  const [name, value] = text.split("=", 2);
  return value !== undefined && settingName(name!) in SETTINGS;
}

function settingName(text: string): string {
  return text.trim().toLowerCase().replace(/^queue_/, "");
}

/**
 * Reads `name=value`; the name may begin with `queue_`.
 * @throws {SkyqError} `usage` naming the nearest setting, or what the value should be
 */
export function parseSetting(text: string): { name: SettingName; value: string | null } {
  const equals = text.indexOf("=");
  if (equals < 1) throw new SkyqError("usage", `Cannot read setting "${text}": it is not NAME=VALUE`);
  const name = settingName(text.slice(0, equals));
  const value = text.slice(equals + 1).trim();
  const setting: Setting | undefined = (SETTINGS as Record<string, Setting>)[name];
  if (setting === undefined) {
    const names = Object.keys(SETTINGS);
    throw new SkyqError("usage", `Cannot set "${name}": queues have no such setting`, {
      hint: didYouMean(name, names) ?? `There are: ${names.join(", ")}.`,
    });
  }
  if (value === "") {
    if (setting.by !== "config" && setting.kind !== "flag") return { name: name as SettingName, value: null };
    throw new SkyqError("usage", `Cannot set "${name}": the value is missing`);
  }
  return { name: name as SettingName, value: checkedValue(name, value, setting.kind) };
}

function checkedValue(name: string, text: string, kind: Kind): string {
  const wrong = (wanted: string) => new SkyqError("usage", `Cannot set "${name}": "${text}" is not ${wanted}`);
  switch (kind) {
    case "count":
      if (!/^\d{1,9}$/.test(text)) throw wrong("a whole number from 0 to 999999999");
      return text;
    case "flag":
      if (/^(1|yes|true|on)$/i.test(text)) return "true";
      if (/^(0|no|false|off)$/i.test(text)) return "false";
      throw wrong("1 or 0, yes or no, true or false, on or off");
    case "span":
      if (/^(\d+\.?\d*|\.\d+)$/.test(text)) return `${text} seconds`;
      if (!/^\d.*[a-z]/i.test(text)) throw wrong('a time in seconds, or with its unit: "500 ms", "2 hours"');
      return text;
    case "size":
      if (!/^\d+(\.\d+)?\s*(bytes|B|kB|MB|GB|TB)?$/i.test(text)) {
        throw wrong('a size in bytes, or with its unit: "10 GB"');
      }
      return text;
    case "word":
      if (!["warn", "pause", "drop-consumer"].includes(text)) throw wrong("one of warn, pause, drop-consumer");
      return text;
  }
}

/** Changes settings of one queue, all or none. */
export async function changeSettings(
  db: Transaction,
  queue: string,
  changes: readonly { name: SettingName; value: string | null }[],
): Promise<void> {
  await requireQueue(db, queue);
  for (const { name, value } of changes) {
    switch (SETTINGS[name].by) {
      case "config":
        await asInput(`Cannot set "${name}" to "${value}"`, setQueueConfig(db, queue, name, value!));
        break;
      case "update":
        // pgq.set_queue_config refuses these two.
        await db.query(
          name === "per_tx_limit"
            ? "update pgq.queue q set queue_per_tx_limit = $2::int4 where q.queue_name = $1"
            : "update pgq.queue q set queue_disable_insert = $2::bool where q.queue_name = $1",
          [queue, value],
        );
        break;
      case "policy":
        await requireSkyq(db);
        await asInput(`Cannot set "${name}" to "${value}"`, setQueuePolicy(db, queue, name, value));
    }
  }
}
