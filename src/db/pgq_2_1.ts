// Schema pgq of version 2.1 becomes skyq's own, 3.5, with its queues, ticks, consumers and events.

import { pgq } from "../../sql/pgq/mod.ts";
import compat from "../../sql/pgq/compat_2_1.sql" with { type: "text" };
import tables from "../../sql/pgq/from_2_1.sql" with { type: "text" };
import { QUEUE_SCHEMAS } from "../../sql/mod.ts";
import { SkyqError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { during } from "./errors.ts";
import {
  beginInstall,
  INSTALL_LOCK_LIMIT_MS,
  type InstallReport,
  installSchemas,
  installSchemasWithin,
  recordInstalled,
} from "./install.ts";
import { type Locker, withLocks } from "./locks.ts";
import { isLondiste2, isPgq2 } from "./old_schemas.ts";
import type { SqlConnection, Transaction } from "./sql.ts";

/**
 * Brings the schemas of a database with queues up to this version, those of PgQ 2.1 as well. Where Londiste 2.1 is at
 * work its schema stays, and it goes on with PgQ 3.5.
 */
export async function upgradeQueues(db: SqlConnection, log: Logger): Promise<InstallReport> {
  const schemas = await isLondiste2(db) ? QUEUE_SCHEMAS.filter((schema) => schema.name !== "londiste") : QUEUE_SCHEMAS;
  if (!await isPgq2(db)) return await installSchemas(db, { log, schemas });
  const limits = { act: "Cannot upgrade schema pgq", log, limitMs: INSTALL_LOCK_LIMIT_MS };
  return await withLocks(limits, (lock) =>
    db.transaction(async (tx) => {
      await tx.exec("set transaction isolation level read committed");
      await beginInstall(tx);
      await lockPgq2(tx, lock);
      log.info("Upgrading pgq from 2.1 to 3.5");
      await convertPgq2(tx);
      const report = await installSchemasWithin(tx, lock, { log, schemas });
      await addCompat2(tx);
      return report;
    }));
}

/**
 * Locks all that is altered. Whoever writes events reads pgq.queue before anything else of the schema, and keeps that
 * lock to the end of the transaction: with pgq.queue in hand no writer is left in any event table, and daemons hold the
 * others for moments.
 * @param others tables to be locked with them
 */
export async function lockPgq2(tx: Transaction, lock: Locker, others: readonly string[] = []): Promise<void> {
  await lock(tx, ["pgq.queue"], "access exclusive");
  const rows = await tx.query<{ name: string }>(
    `select pg_catalog.format('%I.%I', 'pgq', c.relname) as name
       from pg_catalog.pg_class c
      where c.relnamespace = 'pgq'::pg_catalog.regnamespace and c.relkind in ('r', 'p') and c.relname <> 'queue'
      order by c.oid`,
  );
  await lock(tx, [...rows.map((row) => row.name), ...others], "access exclusive");
}

/**
 * Changes the tables, and makes way for functions that have other results or argument names now. An installation has to
 * follow in the same transaction, then `addCompat2`. Functions that stay keep their identity: sessions that write
 * events meanwhile wait for the transaction, and go on.
 *
 * Locks: those of `lockPgq2`, which the caller has taken; who writes events waits.
 */
export async function convertPgq2(tx: Transaction): Promise<void> {
  await during("Cannot upgrade schema pgq", tx.exec(tables));
  await tx.exec("savepoint skyq_function");
  for (const text of pgq.functions) {
    try {
      await tx.exec(text);
    } catch (error) {
      if (!(error instanceof SkyqError) || error.sqlstate !== "42P13") throw error;
      await tx.exec("rollback to savepoint skyq_function");
      const names = [...text.matchAll(/create or replace function pgq\.(\w+)/g)].map((match) => match[1]!);
      await dropFunctions(tx, names);
      await tx.exec(text);
    }
    await tx.exec("release savepoint skyq_function; savepoint skyq_function");
  }
  await dropFunctions(tx, ["failed_event_list", "failed_event_count", "failed_event_delete", "failed_event_retry"]);
  await recordInstalled(tx, pgq);
}

/** Lets daemons of 2.1 go on, and makes dead letters of failed events. Follows the installation. */
export async function addCompat2(tx: Transaction): Promise<void> {
  await tx.exec(compat);
}

async function dropFunctions(tx: Transaction, names: readonly string[]): Promise<void> {
  const rows = await tx.query<{ signature: string }>(
    `select p.oid::pg_catalog.regprocedure::text as signature
       from pg_catalog.pg_proc p
      where p.pronamespace = 'pgq'::pg_catalog.regnamespace and p.proname = any($1::text[])`,
    [names],
  );
  for (const { signature } of rows) await tx.exec(`drop function ${signature}`);
}
