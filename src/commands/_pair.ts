// What the manual's commands share: the pair of databases that a config describes.

import type { CommandContext } from "../cli/command.ts";
import { shortStatement } from "../db/errors.ts";
import { openSql, type SqlConnection } from "../db/sql.ts";
import { parseTarget, type Target } from "../db/target.ts";
import type { Config } from "../config/config.ts";

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

/** Connects to the provider for the length of `work`. */
export async function withProvider<T>(
  ctx: CommandContext,
  work: (db: SqlConnection, queue: string) => Promise<T>,
): Promise<T> {
  return await withSql(ctx, providerTarget(ctx.config), (db) => work(db, ctx.config.need("pgq_queue_name")));
}

/** Connects to the subscriber for the length of `work`. */
export async function withSubscriber<T>(
  ctx: CommandContext,
  work: (db: SqlConnection, queue: string) => Promise<T>,
): Promise<T> {
  return await withSql(ctx, subscriberTarget(ctx.config), (db) => work(db, ctx.config.need("pgq_queue_name")));
}

/** Connects to both for the length of `work`. */
export async function withPair<T>(
  ctx: CommandContext,
  work: (dbs: { provider: SqlConnection; subscriber: SqlConnection }, queue: string) => Promise<T>,
): Promise<T> {
  return await withProvider(
    ctx,
    (provider, queue) => withSubscriber(ctx, (subscriber) => work({ provider, subscriber }, queue)),
  );
}

/** Connects to one database for the length of `work`, under the config's limits. */
export async function withSql<T>(
  ctx: CommandContext,
  target: Target,
  work: (db: SqlConnection) => Promise<T>,
): Promise<T> {
  const { config } = ctx;
  const db = await openSql(target, {
    applicationName: `skyq ${ctx.commandName}`,
    settings: {
      // A CREATE TRIGGER that waits for a busy table makes everybody behind it wait as well: not for long.
      lock_timeout: String(toMs(config.get("lock_timeout"))),
      statement_timeout: String(toMs(config.get("statement_timeout"))),
    },
    onNotice: (notice) => ctx.log.debug(notice.message),
    onStatement: ctx.verbosity < 2 ? undefined : (text) => ctx.log.debug(shortStatement(text)),
  });
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}
