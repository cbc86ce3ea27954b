// What the connected role lacks for a table or sequence, and the statements by which an owner gives it.

import type { Queryable } from "../../db/queryable.ts";
import { splitName } from "../../db/quote.ts";
import { findTableFkeys } from "../../queue/londiste.ts";

/** Read by the first copy, and given its triggers. */
const PROVIDER_TABLE = ["SELECT", "TRIGGER"];
const SUBSCRIBER_TABLE = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"];
const PROVIDER_SEQUENCE = ["SELECT"];
const SUBSCRIBER_SEQUENCE = ["SELECT", "UPDATE"];

/** @returns what is missing and what to run, in a sentence; null when nothing is */
export async function lacksOnProviderTable(db: Queryable, table: string): Promise<string | null> {
  const lacks = new Lacks(db);
  await lacks.privileges(table, PROVIDER_TABLE);
  return lacks.text;
}

/**
 * @param options `isCopied`: foreign keys from and to the table are dropped and made again; `dropsTriggers`: the table's
 *   own triggers too
 * @returns what is missing and what to run, in a sentence; null when nothing is
 */
export async function lacksOnSubscriberTable(
  db: Queryable,
  table: string,
  options: { isCopied: boolean; dropsTriggers: boolean },
): Promise<string | null> {
  const lacks = new Lacks(db);
  await lacks.privileges(table, SUBSCRIBER_TABLE);
  if (options.isCopied) {
    for (const fkey of await findTableFkeys(db, table)) {
      await lacks.ownership(fkey.from_table, `its foreign key ${fkey.fkey_name} is dropped for the copy`);
      // Whoever makes a foreign key has to have this right on what it refers to; an owner has it.
      if (fkey.to_table !== fkey.from_table) await lacks.privileges(fkey.to_table, ["REFERENCES"]);
    }
    if (options.dropsTriggers && await hasUserTriggers(db, table)) {
      await lacks.ownership(table, "drop_triggers = 1 drops its triggers");
    }
  }
  return lacks.text;
}

/** @returns what is missing and what to run, in a sentence; null when nothing is */
export async function lacksOnSequence(
  db: Queryable,
  sequence: string,
  side: "provider" | "subscriber",
): Promise<string | null> {
  const lacks = new Lacks(db);
  await lacks.privileges(sequence, side === "provider" ? PROVIDER_SEQUENCE : SUBSCRIBER_SEQUENCE);
  return lacks.text;
}

/**
 * Whether the triggers that log a table into the queue can be dropped: only a table's owner may.
 * @returns who may, and what to run, in a sentence; null when we may, or there are none
 */
export async function lacksToDropTriggers(db: Queryable, queue: string, table: string): Promise<string | null> {
  const rights = await readRights(db, table, []);
  if (rights === null || rights.is_owner) return null;
  const { schema, name } = splitName(table);
  const rows = await db.query<{ sql: string }>(
    `select pg_catalog.format('DROP TRIGGER %I ON %I.%I;', t.trigger_name, n.nspname, c.relname) as sql
       from pg_catalog.pg_class c
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       cross join lateral skyq._queue_triggers(c.oid) t
      where n.nspname = $1 and c.relname = $2 and t.queue_name = $3
      order by t.trigger_name`,
    [schema, name, queue],
  );
  if (rows.length === 0) return null;
  return `role ${rights.role} may not drop its triggers, its owner ${rights.owner} may; let ${rights.owner} run: ` +
    `${rows.map((row) => row.sql).join(" ")} and remove it again, or run: ${grantOwnership(rights)}`;
}

async function hasUserTriggers(db: Queryable, table: string): Promise<boolean> {
  const { schema, name } = splitName(table);
  const rows = await db.query(
    `select 1
       from pg_catalog.pg_trigger t
       join pg_catalog.pg_class c on c.oid = t.tgrelid
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = $1 and c.relname = $2 and not t.tgisinternal
      limit 1`,
    [schema, name],
  );
  return rows.length > 0;
}

/** Rights on one relation; all names are quoted where SQL wants it. */
interface Rights {
  role: string;
  schema: string;
  relation: string;
  is_sequence: boolean;
  owner: string;
  owner_is_superuser: boolean;
  is_owner: boolean;
  may_use_schema: boolean;
  /** Of the privileges asked for, in their order. */
  missing: string[];
}

/** @returns null when there is no such relation: others say so */
async function readRights(db: Queryable, fullName: string, privileges: readonly string[]): Promise<Rights | null> {
  const { schema, name } = splitName(fullName);
  const rows = await db.query<Rights>(
    `select pg_catalog.quote_ident(current_user) as role, pg_catalog.quote_ident(n.nspname) as schema,
            pg_catalog.format('%I.%I', n.nspname, c.relname) as relation, c.relkind = 'S' as is_sequence,
            pg_catalog.quote_ident(o.rolname) as owner, o.rolsuper as owner_is_superuser,
            pg_catalog.pg_has_role(o.oid, 'USAGE') as is_owner,
            pg_catalog.has_schema_privilege(n.oid, 'USAGE') as may_use_schema,
            array(select p.privilege
                    from unnest($3::text[]) with ordinality as p (privilege, nth)
                   where not pg_catalog.has_table_privilege(c.oid, p.privilege)
                   order by p.nth) as missing
       from pg_catalog.pg_class c
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       join pg_catalog.pg_roles o on o.oid = c.relowner
      where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p', 'S')`,
    [schema, name, privileges],
  );
  return rows[0] ?? null;
}

/** Ownership cannot be granted but by membership; nobody should become a superuser for that. */
function grantOwnership(rights: Rights): string {
  return rights.owner_is_superuser
    ? `ALTER TABLE ${rights.relation} OWNER TO ${rights.role};`
    : `GRANT ${rights.owner} TO ${rights.role};`;
}

/** Collects what is missing, each thing once. */
class Lacks {
  readonly #db: Queryable;
  readonly #states = new Set<string>();
  readonly #statements = new Set<string>();
  #role = "";

  constructor(db: Queryable) {
    this.#db = db;
  }

  async privileges(relation: string, privileges: readonly string[]): Promise<void> {
    const rights = await readRights(this.#db, relation, privileges);
    if (rights === null) return;
    this.#schema(rights);
    if (rights.missing.length === 0) return;
    const list = rights.missing.join(", ");
    const kind = rights.is_sequence ? "SEQUENCE " : "";
    this.#add(
      rights,
      `lacks ${list} on ${rights.relation}`,
      `GRANT ${list} ON ${kind}${rights.relation} TO ${rights.role};`,
    );
  }

  async ownership(relation: string, because: string): Promise<void> {
    const rights = await readRights(this.#db, relation, []);
    if (rights === null) return;
    this.#schema(rights);
    if (!rights.is_owner) this.#add(rights, `does not own ${rights.relation} (${because})`, grantOwnership(rights));
  }

  #schema(rights: Rights): void {
    if (rights.may_use_schema) return;
    const { role, schema } = rights;
    this.#add(rights, `lacks USAGE on schema ${schema}`, `GRANT USAGE ON SCHEMA ${schema} TO ${role};`);
  }

  #add(rights: Rights, state: string, statement: string): void {
    this.#role = rights.role;
    this.#states.add(state);
    this.#statements.add(statement);
  }

  get text(): string | null {
    if (this.#states.size === 0) return null;
    return `role ${this.#role} ${[...this.#states].join(", ")}; let the owner run: ${[...this.#statements].join(" ")}`;
  }
}
