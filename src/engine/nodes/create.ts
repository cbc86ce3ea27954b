// Makes tables and sequences on the subscriber as they are on the provider.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { during } from "../../db/errors.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName, quoteIdent } from "../../db/quote.ts";
import type { Transaction } from "../../db/sql.ts";
import type { Grant, SequenceDefinition, Step, TableDefinition, TypeDefinition } from "./definition.ts";

/** How much of a table is made: what rows need, or all that belongs to it. */
export type CreateMode = "plain" | "full";

export interface CreateOptions {
  readonly mode: CreateMode;
  /** Whether triggers and rules would keep quiet for replayed rows, or are taken away for that time. */
  readonly withTriggers: boolean;
  readonly log: Logger;
}

/**
 * Why a table cannot be made, as far as the subscriber's catalogue tells.
 * @returns a sentence for each reason
 */
export async function creationProblems(
  db: Queryable,
  definition: TableDefinition,
  mode: CreateMode,
): Promise<string[]> {
  const problems: string[] = [];
  const { table } = definition;
  for (const type of definition.types) {
    if (await exists(db, "to_regtype", type.name)) continue;
    if (type.problem !== null) {
      problems.push(`Cannot create table ${table}: type ${type.name} is missing, ${type.problem}`);
    } else if (mode === "plain") {
      problems.push(
        `Cannot create table ${table}: type ${type.name} is missing; --create-full makes it, or run: ${
          type.create!.sql
        };`,
      );
    }
  }
  const schemas = [definition.schema, ...(mode === "full" ? definition.sequences.map((s) => s.schema) : [])];
  for (const problem of await schemaProblems(db, schemas)) problems.push(`Cannot create table ${table}: ${problem}`);
  return problems;
}

/** Why nothing can be made in these schemas, or the schemas cannot. @returns a sentence for each reason */
export async function schemaProblems(db: Queryable, schemas: readonly string[]): Promise<string[]> {
  const rows = await db.query<{ role: string; database: string; may: boolean; own: string | null }>(
    `select pg_catalog.quote_ident(current_user) as role, pg_catalog.quote_ident(pg_catalog.current_database()) as database,
            case when n.oid is null then pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
                 else pg_catalog.has_schema_privilege(n.oid, 'CREATE') end as may, n.nspname as own
       from pg_catalog.unnest($1::text[]) s (name) left join pg_catalog.pg_namespace n on n.nspname = s.name`,
    [[...new Set(schemas)]],
  );
  return rows.filter(({ may }) => !may).map(({ role, database, own }) =>
    own === null
      ? `role ${role} may not create schemas; run: GRANT CREATE ON DATABASE ${database} TO ${role};`
      : `role ${role} may not create in schema ${quoteIdent(own)}; let the owner run: ` +
        `GRANT USAGE, CREATE ON SCHEMA ${quoteIdent(own)} TO ${role};`
  );
}

/**
 * Makes a table inside the caller's transaction; what the other server does not know or lacks for a mere detail is left
 * out, and said.
 * @throws {SkyqError} naming what could not be made: the caller rolls back
 */
export async function createTable(tx: Transaction, definition: TableDefinition, options: CreateOptions): Promise<void> {
  const { mode, log } = options;
  const { table } = definition;
  const maker = new Maker(tx, table, log);
  await maker.schema(definition.schema, mode === "full" ? definition : null);
  const madeTypes: TypeDefinition[] = [];
  if (mode === "full") {
    for (const type of definition.types) {
      if (await exists(tx, "to_regtype", type.name)) continue;
      await maker.schema(type.schema, null);
      await maker.must(type.create!);
      madeTypes.push(type);
    }
  }
  const made: SequenceDefinition[] = [];
  if (mode === "full") {
    for (const sequence of definition.sequences) {
      if (await exists(tx, "to_regclass", quoteFullName(sequence.name))) continue;
      await maker.schema(sequence.schema, null);
      await maker.must(sequence.create);
      made.push(sequence);
    }
  }
  await maker.must(definition.create);
  for (const step of definition.defaults) await (mode === "full" ? maker.must(step) : maker.may(step));
  if (mode === "plain") return;
  for (const { ownedBy } of made) if (ownedBy !== null) await maker.must(ownedBy);
  for (const step of definition.constraints) await maker.must(step);
  for (const name of definition.notValid) {
    log.warning(`${table}: constraint ${name} is not made: it is not valid on the provider, rows may violate it`);
  }
  for (const step of definition.details) await maker.may(step);
  if (options.withTriggers) {
    for (const step of definition.triggers) await maker.may(step);
  } else if (definition.triggers.length > 0) {
    log.warning(
      `${table}: its triggers and rules are not made: the subscriber's role may not set session_replication_role, so ` +
        "they would fire for replayed rows",
    );
  }
  for (const grant of definition.grants) await maker.grant(grant);
  for (const sequence of made) await finishSequence(maker, sequence);
  // Last: what is another's may be ours to use no more.
  for (const type of madeTypes) await maker.owner("type", type.name, type.owner);
  for (const { name, owner } of definition.statistics) await maker.owner("statistics", name, owner);
  await maker.owner("table", quoteFullName(table), definition.owner);
}

/** Makes a sequence inside the caller's transaction, with what belongs to it. */
export async function createSequence(tx: Transaction, definition: SequenceDefinition, log: Logger): Promise<void> {
  const maker = new Maker(tx, definition.name, log);
  await maker.schema(definition.schema, null);
  await maker.must(definition.create);
  await finishSequence(maker, { ...definition, ownedBy: null });
}

async function finishSequence(
  maker: Maker,
  { name, comments, grants, ownedBy, owner }: SequenceDefinition,
): Promise<void> {
  for (const step of comments) await maker.may(step);
  for (const grant of grants) await maker.grant(grant);
  // One that belongs to a column belongs to the table's owner.
  if (ownedBy === null) await maker.owner("sequence", quoteFullName(name), owner);
}

async function exists(db: Queryable, look: "to_regtype" | "to_regclass", sqlName: string): Promise<boolean> {
  return (await db.query(`select 1 where pg_catalog.${look}($1) is not null`, [sqlName])).length > 0;
}

/** Runs the statements for one table or sequence. */
class Maker {
  readonly #tx: Transaction;
  readonly #name: string;
  readonly #log: Logger;

  constructor(tx: Transaction, name: string, log: Logger) {
    this.#tx = tx;
    this.#name = name;
    this.#log = log;
  }

  /** @param like what a schema that has to be made gets besides */
  async schema(name: string, like: TableDefinition | null): Promise<void> {
    if ((await this.#tx.query("select 1 from pg_catalog.pg_namespace n where n.nspname = $1", [name])).length > 0) {
      return;
    }
    await this.must({ sql: `create schema ${quoteIdent(name)}`, what: `schema ${name}` });
    this.#log.info(`Creating schema ${name}`);
    for (const step of like?.schemaSteps ?? []) await this.may(step);
    for (const grant of like?.schemaGrants ?? []) await this.grant(grant);
    if (like !== null) await this.owner("schema", quoteIdent(name), like.schemaOwner);
  }

  async must({ sql, what }: Step): Promise<void> {
    await during(`Cannot create ${what}`, this.#tx.exec(sql));
  }

  /** Without it the table is as good for replication. */
  async may({ sql, what }: Step): Promise<void> {
    await this.#tx.exec("savepoint skyq_may");
    try {
      await this.#tx.exec(sql);
      await this.#tx.exec("release savepoint skyq_may");
    } catch (error) {
      if (!(error instanceof SkyqError) || error.fault === "connection-lost") throw error;
      await this.#tx.exec("rollback to savepoint skyq_may; release savepoint skyq_may");
      this.#log.warning(`${this.#name}: ${what} is left out: ${serverMessage(error)}`);
    }
  }

  async grant(grant: Grant): Promise<void> {
    if (grant.role === null || await this.#knowsRole(grant.role)) await this.may(grant);
    else this.#log.warning(`${this.#name}: ${grant.what} are left out: the subscriber has no such role`);
  }

  /**
   * Gives something to the owner that it has on the provider, if that role is here and its rights are ours too.
   * @param name quoted
   */
  async owner(
    kind: "table" | "schema" | "sequence" | "statistics" | "type",
    name: string,
    owner: string,
  ): Promise<void> {
    const [row] = await this.#tx.query<{ is_member: boolean; is_me: boolean }>(
      `select pg_catalog.pg_has_role(r.oid, 'USAGE') as is_member, r.rolname = current_user as is_me
         from pg_catalog.pg_roles r where r.rolname = $1`,
      [owner],
    );
    if (row?.is_me) return;
    const kept = `${this.#name}: ${kind} ${name} is ours and not ${owner}'s:`;
    if (row === undefined) this.#log.warning(`${kept} the subscriber has no such role`);
    else if (!row.is_member) this.#log.warning(`${kept} our role is no member of it`);
    else await this.may({ sql: `alter ${kind} ${name} owner to ${quoteIdent(owner)}`, what: `owner ${owner}` });
  }

  async #knowsRole(role: string): Promise<boolean> {
    return (await this.#tx.query("select 1 from pg_catalog.pg_roles r where r.rolname = $1", [role])).length > 0;
  }
}

/** What the server said, without our "Cannot run statement on …". */
function serverMessage(error: SkyqError): string {
  return error.message.replace(/^Cannot run statement on [^:]*(?::\d+[^:]*)?: /, "");
}
