// What a config's settings are in the code's terms: where its databases are, milliseconds, bytes.

import type { Config } from "../config/config.ts";
import { parseTarget, type Target } from "../db/target.ts";

/** Seconds of the config as the milliseconds of the code. */
export function toMs(seconds: number): number {
  return Math.round(seconds * 1000);
}

/** MiB of the config as the bytes of the code. */
export function toBytes(mb: number): number {
  return Math.round(mb * 1024 * 1024);
}

export function providerTarget(config: Config): Target {
  return parseTarget(withTimeout(config, config.need("provider_db")));
}

export function subscriberTarget(config: Config): Target {
  return parseTarget(withTimeout(config, config.need("subscriber_db")));
}

/** The ticker's database: a config of its own names it `db`, a pair's `provider_db`. */
export function tickerTarget(config: Config): Target {
  return parseTarget(withTimeout(config, config.get("db") ?? config.need("provider_db")));
}

/** A database of the cluster that `base_connstr` names. */
export function databaseTarget(config: Config, database: string): Target {
  const base = config.get("base_connstr") ?? "";
  const dsn = /^postgres(ql)?:\/\//i.test(base)
    ? `${base}${base.includes("?") ? "&" : "?"}dbname=${encodeURIComponent(database)}`
    : `${base} dbname='${database.replace(/[\\']/g, "\\$&")}'`;
  return parseTarget(withTimeout(config, dsn));
}

/** A connect string without its own limit gets the config's. */
function withTimeout(config: Config, dsn: string): string {
  if (!config.isSet("connect_timeout") || /connect_timeout/.test(dsn)) return dsn;
  const seconds = Math.ceil(config.get("connect_timeout"));
  if (!/^postgres(ql)?:\/\//i.test(dsn)) return `${dsn} connect_timeout=${seconds}`;
  return `${dsn}${dsn.includes("?") ? "&" : "?"}connect_timeout=${seconds}`;
}
