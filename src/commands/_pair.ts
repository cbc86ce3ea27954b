// What the manual's commands share: sessions with the pair of databases that a config describes.

import type { CommandContext } from "../cli/command.ts";
import { shortStatement } from "../db/errors.ts";
import { openSql, type SqlConnection } from "../db/sql.ts";
import type { Target } from "../db/target.ts";
import { providerTarget, subscriberTarget, toMs } from "./_targets.ts";

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
