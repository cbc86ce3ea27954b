/** Puts skyq's schemas into a database, or brings them up to date. */
import type { Logger } from "../base/log.ts";
import { SkyqError } from "../base/errors.ts";
import { type Migration, SCHEMAS, type SqlSchema } from "../../sql/mod.ts";
import { during } from "./errors.ts";
import { type Locker, withLocks } from "./locks.ts";
import { incompletePgq, isLondiste2, isPgq2, MISSING_OF_PGQ } from "./old_schemas.ts";
import { one, type Queryable } from "./queryable.ts";

export { QUEUE_SCHEMAS } from "../../sql/mod.ts";

/** The oldest server whose SQL the functions use, as `server_version_num`. */
const SERVER_VERSION_MIN = 130000;
/** How long to wait for another installer, and to try for the tables that a migration changes. */
export const INSTALL_LOCK_LIMIT_MS = 60_000;
const ROLES = ["pgq_reader", "pgq_writer", "pgq_admin"];

/**
 * What was done with one schema: `installed` made now · `updated` was there, functions applied again · `foreign` made by
 * somebody else, by `CREATE EXTENSION` or by hand, and left alone · `kept` ours, but this role does not own it.
 */
export type InstallState = "installed" | "updated" | "foreign" | "kept";

export interface InstallReport {
  readonly schemas: readonly { readonly name: string; readonly state: InstallState; readonly migrations: number }[];
  /** Roles that do not exist because this role may not create them. */
  readonly missingRoles: readonly string[];
}

export interface InstallOptions {
  readonly log: Logger;
  /** Default: all of skyq's, in order. */
  readonly schemas?: readonly SqlSchema[];
}

/**
 * Installs what is missing and applies the functions of what is there again, in one transaction: after an error the
 * database is as it was. Two installers wait for each other.
 *
 * @param db one session without an open transaction, not a pool
 * @returns what was done, schema by schema
 * @throws {SkyqError} `privilege` with the statement that grants it · `refused` server too old · `lock-timeout`
 */
export async function installSchemas(db: Queryable, options: InstallOptions): Promise<InstallReport> {
  const { log, schemas = SCHEMAS } = options;
  await requireServer(db);
  return await withLocks({ act: "Cannot install", log, limitMs: INSTALL_LOCK_LIMIT_MS }, async (lock) => {
    // Read committed whatever the server's default: what another installer did while we waited for it must be seen.
    await db.query("begin isolation level read committed");
    try {
      await beginInstall(db);
      const report = await installInTransaction(db, schemas, log, lock);
      await db.query("commit");
      return report;
    } catch (error) {
      // The first error is the one to tell; if the connection is gone the server rolls back by itself.
      await db.query("rollback").catch(() => {});
      throw error;
    }
  });
}

/**
 * The same inside the caller's transaction, read committed, which commits it together with what else it does, and is
 * begun anew when a lock is missing. Settings (`search_path`) stay changed until its end.
 * @param lock of `withLocks`; `beginInstall` was called before the first lock
 * @throws {SkyqError} as `installSchemas`
 */
export async function installSchemasWithin(
  tx: Queryable,
  lock: Locker,
  options: InstallOptions,
): Promise<InstallReport> {
  await requireServer(tx);
  return await installInTransaction(tx, options.schemas ?? SCHEMAS, options.log, lock);
}

/**
 * Waits for another installer, with no other lock in hand. From then on nothing in this transaction waits long: those who
 * use what it changes stand behind it.
 */
export async function beginInstall(tx: Queryable): Promise<void> {
  await tx.query(`set local lock_timeout = ${INSTALL_LOCK_LIMIT_MS}`);
  await during(
    "Cannot install: another installation goes on",
    tx.query("select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('skyq install'))"),
  );
  await tx.query(
    `select pg_catalog.set_config('lock_timeout', (s.setting::int4 / 2)::text, true)
       from pg_catalog.pg_settings s where s.name = 'deadlock_timeout'`,
  );
}

/** Says that a schema is skyq's own now, in its newest shape: the next installation applies its functions. */
export async function recordInstalled(tx: Queryable, schema: SqlSchema): Promise<void> {
  await createMigrationTable(tx);
  for (const id of [0, ...schema.migrations.map((migration) => migration.id)]) await record(tx, schema.name, id);
}

async function installInTransaction(
  db: Queryable,
  schemas: readonly SqlSchema[],
  log: Logger,
  lock: Locker,
): Promise<InstallReport> {
  await db.query("set local client_min_messages = warning");
  // Our texts name every object with its schema; only the types and operators of the server are looked up by path.
  await db.query("set local search_path = pg_catalog");

  await requireNoOldSchemas(db, schemas);
  const found = new Map<string, Found>();
  for (const schema of schemas) found.set(schema.name, await look(db, schema));
  if (found.get("pgq")?.origin === "foreign") await requireWholePgq(db);
  await requirePrivilege(db, schemas, found);
  await requireRightsOnForeign(db, schemas, found);
  await lockWhatChanges(db, schemas, found, lock);

  const done: { name: string; state: InstallState; migrations: number }[] = [];
  for (const schema of schemas) {
    const { owner, origin, isOurs, migrationIds } = found.get(schema.name)!;
    if (origin !== "ours" && origin !== "none") {
      log.info(`${schema.name} is installed (${origin === "extension" ? "extension" : "not by skyq"}, left as it is)`);
      done.push({ name: schema.name, state: "foreign", migrations: 0 });
    } else if (origin === "none") {
      log.info(`Installing ${schema.name}`);
      await createSchema(db, schema);
      done.push({ name: schema.name, state: "installed", migrations: 0 });
    } else if (!isOurs) {
      log.info(`${schema.name} is installed (owned by "${owner}", left as it is)`);
      done.push({ name: schema.name, state: "kept", migrations: 0 });
    } else {
      const count = await updateSchema(db, schema, migrationIds);
      log.info(`${schema.name} is installed`);
      done.push({ name: schema.name, state: "updated", migrations: count });
    }
  }
  const roles = await db.query<{ rolname: string }>("select rolname::text from pg_roles where rolname = any($1)", [
    ROLES,
  ]);
  const missingRoles = ROLES.filter((role) => !roles.some((r) => r.rolname === role));
  if (missingRoles.length > 0) {
    log.info(
      `Roles ${missingRoles.join(", ")} are not made, which takes CREATEROLE: replication and applications that only ` +
        "write need none of them, they would let other roles read and manage the queues",
    );
  }
  return { schemas: done, missingRoles };
}

interface Found {
  origin: "none" | "ours" | "extension" | "foreign";
  owner: string | null;
  /** Whether this role may replace functions and change tables there. */
  isOurs: boolean;
  /** Migrations applied; 0 stands for `tables.sql`. */
  migrationIds: Set<number>;
}

async function look(db: Queryable, schema: SqlSchema): Promise<Found> {
  const { owner, is_owner } = await one<{ owner: string | null; is_owner: boolean | null }>(
    db,
    `select (select pg_get_userbyid(n.nspowner)::text from pg_namespace n where n.nspname = $1) as owner,
            (select pg_has_role(n.nspowner, 'USAGE') from pg_namespace n where n.nspname = $1) as is_owner`,
    [schema.name],
  );
  const base = { owner, isOurs: is_owner ?? false, migrationIds: await migrationsOf(db, schema.name) };
  if (owner === null) return { ...base, origin: "none", migrationIds: new Set() };
  const extensions = schema.extension === undefined
    ? []
    : await db.query("select 1 from pg_extension where extname = $1", [schema.extension]);
  if (extensions.length > 0) return { ...base, origin: "extension" };
  if (base.migrationIds.size > 0) return { ...base, origin: "ours" };
  const landmark = schema.landmark ?? null;
  const look = landmark?.endsWith(")") ? "to_regprocedure" : "to_regclass";
  const { is_there } = await one<{ is_there: boolean }>(db, `select ${look}($1) is not null as is_there`, [landmark]);
  return { ...base, origin: is_there ? "foreign" : "none" };
}

/** All at once and before anything is changed: see `locks.ts`. */
async function lockWhatChanges(
  db: Queryable,
  schemas: readonly SqlSchema[],
  found: Map<string, Found>,
  lock: Locker,
): Promise<void> {
  const ours = schemas.filter((schema) => found.get(schema.name)!.origin === "ours" && found.get(schema.name)!.isOurs);
  const migrations = ours.flatMap((schema) => dueMigrations(schema, found.get(schema.name)!.migrationIds));
  await lock(db, [...new Set(migrations.flatMap((migration) => migration.locks ?? []))], "access exclusive");
  const altered: string[] = [];
  for (const { table, isDue } of schemas.flatMap((schema) => schema.alterations ?? [])) {
    if ((await one<{ is_due: boolean }>(db, `select ${isDue} as is_due`)).is_due) altered.push(table);
  }
  await lock(db, altered, "share row exclusive");
}

function dueMigrations(schema: SqlSchema, applied: ReadonlySet<number>): readonly Migration[] {
  return schema.migrations.filter(({ id }) => !applied.has(id));
}

async function migrationsOf(db: Queryable, schema: string): Promise<Set<number>> {
  const { is_there } = await one<{ is_there: boolean }>(
    db,
    "select to_regclass('skyq.migration') is not null as is_there",
  );
  if (!is_there) return new Set();
  const rows = await db.query<{ id: number }>("select id from skyq.migration where schema_name = $1", [schema]);
  return new Set(rows.map((row) => row.id));
}

async function createSchema(db: Queryable, schema: SqlSchema): Promise<void> {
  await createMigrationTable(db);
  await db.query(`create schema if not exists ${schema.name}`);
  await record(db, schema.name, 0);
  await runScript(db, schema.tables);
  for (const { id } of schema.migrations) await record(db, schema.name, id);
  await applyFunctions(db, schema);
}

/** @returns how many migrations were due */
async function updateSchema(db: Queryable, schema: SqlSchema, applied: Set<number>): Promise<number> {
  const due = dueMigrations(schema, applied);
  for (const { id, sql } of due) {
    await record(db, schema.name, id);
    await runScript(db, sql);
  }
  await applyFunctions(db, schema);
  return due.length;
}

async function applyFunctions(db: Queryable, schema: SqlSchema): Promise<void> {
  for (const text of schema.functions) await runScript(db, text);
  await runScript(db, schema.grants);
}

async function createMigrationTable(db: Queryable): Promise<void> {
  await db.query("create schema if not exists skyq");
  await db.query(`create table if not exists skyq.migration (
    schema_name text not null,
    id integer not null,
    applied_at timestamptz not null default now(),
    constraint migration_pkey primary key (schema_name, id))`);
  await db.query("grant usage on schema skyq to public");
  await db.query("grant select on skyq.migration to public");
}

async function record(db: Queryable, schema: string, id: number): Promise<void> {
  await db.query("insert into skyq.migration (schema_name, id) values ($1, $2)", [schema, id]);
}

/** Runs a text of several statements as one, which the extended protocol would refuse. */
async function runScript(db: Queryable, text: string): Promise<void> {
  if (text.trim() === "") return;
  await db.query(`do $skyq_do$ begin execute $skyq_text$${text}$skyq_text$; end $skyq_do$`);
}

async function requireServer(db: Queryable): Promise<void> {
  const { number, text } = await one<{ number: number; text: string }>(
    db,
    "select current_setting('server_version_num')::int4 as number, current_setting('server_version') as text",
  );
  if (number >= SERVER_VERSION_MIN) return;
  throw new SkyqError("refused", `Cannot install skyq: the server is PostgreSQL ${text}`, {
    hint: `PostgreSQL ${SERVER_VERSION_MIN / 10000} or newer is needed.`,
    facts: { serverVersion: number },
  });
}

/** Version 2.1 of the originals has schemas of the same names, which are not to be mixed with ours. */
async function requireNoOldSchemas(db: Queryable, schemas: readonly SqlSchema[]): Promise<void> {
  const names = schemas.map((schema) => schema.name);
  if (names.includes("londiste") && await isLondiste2(db)) {
    throw new SkyqError("refused", "Cannot install schema londiste: there is that of Londiste 2.1", {
      hint: "`skyq upgrade CONFIG` takes a pair of Londiste 2.1 over.",
    });
  }
  if (names.includes("pgq") && await isPgq2(db)) {
    throw new SkyqError("refused", "Cannot install schema pgq: there is that of PgQ 2.1", {
      hint: "`skyq queue upgrade CONFIG` brings it to 3.5; its queues, consumers and events stay.",
    });
  }
}

/** One that somebody else made is left as it is: then all has to be there. */
async function requireWholePgq(db: Queryable): Promise<void> {
  const { missing } = await one<{ missing: string[] }>(db, `select ${MISSING_OF_PGQ} as missing`);
  if (missing.length > 0) throw incompletePgq("Cannot install beside schema pgq", missing);
}

async function requirePrivilege(db: Queryable, schemas: readonly SqlSchema[], found: Map<string, Found>) {
  const missing = schemas.filter((schema) => found.get(schema.name)!.owner === null).map((schema) => schema.name);
  const bookkeeping = await db.query("select 1 from pg_namespace where nspname = 'skyq'");
  if (bookkeeping.length === 0 && !missing.includes("skyq")) missing.push("skyq");
  if (missing.length === 0) return;
  const { database, role, may_create } = await one<{ database: string; role: string; may_create: boolean }>(
    db,
    `select quote_ident(current_database()) as database, quote_ident(current_user) as role,
            has_database_privilege(current_database(), 'CREATE') as may_create`,
  );
  if (may_create) return;
  throw new SkyqError("privilege", `Cannot create schema "${missing[0]}": role ${role} may not create in ${database}`, {
    hint: `Let the database's owner run: GRANT CREATE ON DATABASE ${database} TO ${role};`,
    facts: { database, role, schemas: missing },
  });
}

/** What the other schemas need of a schema pgq that somebody else owns: its admin role, and foreign keys to consumers. */
async function requireRightsOnForeign(db: Queryable, schemas: readonly SqlSchema[], found: Map<string, Found>) {
  const pgq = found.get("pgq");
  const isForeign = pgq !== undefined && !pgq.isOurs && (pgq.origin === "extension" || pgq.origin === "foreign");
  if (!isForeign || schemas.every((schema) => found.get(schema.name)!.origin !== "none")) return;
  const { role, is_admin, may_refer } = await one<{ role: string; is_admin: boolean; may_refer: boolean }>(
    db,
    `select quote_ident(current_user) as role,
            exists (select 1 from pg_roles r where r.rolname = 'pgq_admin' and pg_has_role(r.oid, 'USAGE')) as is_admin,
            has_table_privilege('pgq.consumer', 'REFERENCES') as may_refer`,
  );
  const needed: string[] = [];
  if (!is_admin) needed.push(`GRANT pgq_admin TO ${role};`);
  if (!may_refer && found.get("pgq_node")?.origin === "none") {
    needed.push(`GRANT REFERENCES ON pgq.consumer TO ${role};`);
  }
  if (needed.length === 0) return;
  throw new SkyqError(
    "privilege",
    `Cannot install beside schema pgq of "${pgq.owner}": role ${role} has too few rights`,
    {
      hint: `Let "${pgq.owner}" run: ${needed.join(" ")}`,
      facts: { role, owner: pgq.owner },
    },
  );
}
