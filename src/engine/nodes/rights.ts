// What the connected role lacks for a table or sequence, and the statements by which an owner gives it.

import type { Queryable } from "../../db/queryable.ts";
import { splitName } from "../../db/quote.ts";

/** Read by the first copy, and given its triggers. */
const PROVIDER_TABLE = ["SELECT", "TRIGGER"];
const SUBSCRIBER_TABLE = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"];
const PROVIDER_SEQUENCE = ["SELECT"];
const SUBSCRIBER_SEQUENCE = ["SELECT", "UPDATE"];

/** @param lacks gets what is missing; @returns all of it and what to run, in a sentence; null when nothing is missing */
export async function lacksOnProviderTable(
  db: Queryable,
  table: string,
  lacks: Lacks = new Lacks(db),
): Promise<string | null> {
  await lacks.privileges(table, PROVIDER_TABLE);
  await lacks.allRows(table, "the first copy would miss rows");
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
  lacks: Lacks = new Lacks(db),
): Promise<string | null> {
  await lacks.privileges(table, SUBSCRIBER_TABLE);
  await lacks.noRowSecurity(table);
  if (options.isCopied) {
    for (const fkey of await fkeysOf(db, table)) {
      await lacks.ownership(fkey.from_table, `its foreign key ${fkey.name} is dropped for the copy`);
      // Whoever makes a foreign key has to have this right on what it refers to; an owner has it.
      if (fkey.to_table !== fkey.from_table) await lacks.privileges(fkey.to_table, ["REFERENCES"]);
    }
    if (options.dropsTriggers && (await userTriggers(db, table, "all")).length > 0) {
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
  lacks: Lacks = new Lacks(db),
): Promise<string | null> {
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

/** Triggers of a table's users, those that log into queues left out; their names quoted. @param which `ordinary`: only those that keep quiet for a replica's rows */
export async function userTriggers(db: Queryable, table: string, which: "all" | "ordinary"): Promise<string[]> {
  const { schema, name } = splitName(table);
  const rows = await db.query<{ name: string }>(
    `select pg_catalog.quote_ident(t.tgname) as name
       from pg_catalog.pg_trigger t
       join pg_catalog.pg_class c on c.oid = t.tgrelid
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       join pg_catalog.pg_proc p on p.oid = t.tgfoid
       join pg_catalog.pg_namespace pn on pn.oid = p.pronamespace
      where n.nspname = $1 and c.relname = $2 and not t.tgisinternal and ($3 = 'all' or t.tgenabled = 'O')
        and pn.nspname not in ('pgq', 'skyq', 'londiste')
      order by t.tgname`,
    [schema, name, which],
  );
  return rows.map((row) => row.name);
}

/** Foreign keys from and to a table, read without schema londiste, which may not be there yet. */
async function fkeysOf(
  db: Queryable,
  table: string,
): Promise<{ name: string; from_table: string; to_table: string }[]> {
  const { schema, name } = splitName(table);
  return await db.query(
    `select k.conname as name, fn.nspname || '.' || f.relname as from_table, tn.nspname || '.' || t.relname as to_table
       from pg_catalog.pg_constraint k
       join pg_catalog.pg_class f on f.oid = k.conrelid join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
       join pg_catalog.pg_class t on t.oid = k.confrelid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
      where k.contype = 'f' and k.conparentid = 0
        and ((fn.nspname, f.relname) = ($1, $2) or (tn.nspname, t.relname) = ($1, $2))
      order by 2, 3, 1`,
    [schema, name],
  );
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
  /** Row-level security applies to the role. */
  is_filtered: boolean;
  /** … but a policy gives it all rows, … */
  has_policy: boolean;
  /** … or another may take some of them back. */
  is_restricted: boolean;
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
                   order by p.nth) as missing,
            pg_catalog.row_security_active(c.oid) as is_filtered,
            exists (select from pg_catalog.pg_policy y
                     where y.polrelid = c.oid and y.polpermissive and y.polcmd in ('r', '*')
                       and pg_catalog.pg_get_expr(y.polqual, y.polrelid) = 'true'
                       and exists (select from unnest(y.polroles) r
                                    where r = 0 or pg_catalog.pg_has_role(r, 'USAGE')))
 as has_policy,
            exists (select from pg_catalog.pg_policy y
                     where y.polrelid = c.oid and not y.polpermissive and y.polcmd in ('r', '*')) as is_restricted
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

/** What is missing, and by what statement it is given. */
export interface Lack {
  readonly state: string;
  readonly statement: string;
}

/** Collects what the connected role lacks, each thing once. */
export class Lacks {
  readonly #db: Queryable;
  readonly #items: Lack[] = [];
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

  /** Row-level security would filter what the role reads, without a word. */
  async allRows(relation: string, because: string): Promise<void> {
    const rights = await readRights(this.#db, relation, []);
    if (rights === null || !rights.is_filtered || rights.has_policy && !rights.is_restricted) return;
    this.#add(
      rights,
      `is held by row-level security of ${rights.relation} (${because})`,
      rights.is_restricted
        ? `ALTER ROLE ${rights.role} BYPASSRLS;`
        : `CREATE POLICY skyq_reads ON ${rights.relation} FOR SELECT TO ${rights.role} USING (true);`,
    );
  }

  /** Where row-level security applies, COPY into a table is refused. */
  async noRowSecurity(relation: string): Promise<void> {
    const rights = await readRights(this.#db, relation, []);
    if (rights === null || !rights.is_filtered) return;
    this.#add(
      rights,
      `is held by row-level security of ${rights.relation} (no COPY into it)`,
      `ALTER ROLE ${rights.role} BYPASSRLS;`,
    );
  }

  #schema(rights: Rights): void {
    if (rights.may_use_schema) return;
    const { role, schema } = rights;
    this.#add(rights, `lacks USAGE on schema ${schema}`, `GRANT USAGE ON SCHEMA ${schema} TO ${role};`);
  }

  #add({ role }: { role: string }, state: string, statement: string): void {
    this.#role = role;
    if (this.#items.some((item) => item.state === state && item.statement === statement)) return;
    this.#items.push({ state, statement });
  }

  /** In the order in which they were met. */
  get items(): readonly Lack[] {
    return this.#items;
  }

  /** All of them in a sentence; null when nothing is missing. */
  get text(): string | null {
    if (this.#items.length === 0) return null;
    const distinct = (texts: readonly string[]) => [...new Set(texts)];
    const states = distinct(this.#items.map((item) => item.state));
    const statements = distinct(this.#items.map((item) => item.statement));
    return `role ${this.#role} ${states.join(", ")}; let the owner run: ${statements.join(" ")}`;
  }
}
