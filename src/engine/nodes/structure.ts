import type { Queryable } from "../../db/queryable.ts";
import { splitName } from "../../db/quote.ts";

export interface ColumnStructure {
  readonly name: string;
  readonly type: string;
  readonly isKey: boolean;
  /** NOT NULL, and nothing gives it a value when the row does not. */
  readonly isRequired: boolean;
  readonly isNotNull: boolean;
  /** How it is computed from others: `stored`, `virtual`; null when it is not. */
  readonly generated: "stored" | "virtual" | null;
  /** `always`, `by default`; null when it is no identity column. */
  readonly identity: string | null;
  /** Where it is not the type's own. */
  readonly collation: string | null;
  /** Whether texts that compare equal are the same bytes. */
  readonly isDeterministic: boolean;
  /** Of an enum, or of an array of it, in their order; null for all other types. */
  readonly labels: readonly string[] | null;
}

export interface TableStructure {
  /** `r` ordinary, `p` partitioned. */
  readonly kind: string;
  readonly isUnlogged: boolean;
  /** Its primary key may be violated until the end of the transaction: meanwhile two rows can have one key. */
  readonly isKeyDeferrable: boolean;
  /** In table order. */
  readonly columns: readonly ColumnStructure[];
  /** What must be unique besides the primary key, as text: `(a, lower(b)) WHERE c`. */
  readonly uniques: readonly string[];
  /** Check and exclusion constraints, as their definitions. */
  readonly checks: readonly string[];
  /** Users' triggers and rules that fire even for rows that a replica applies. */
  readonly firing: readonly string[];
}

/** Reads what decides whether rows of one table fit into another. @returns null when there is no such table */
export async function readStructure(db: Queryable, table: string): Promise<TableStructure | null> {
  const { schema, name } = splitName(table);
  const rows = await db.query<{
    kind: string;
    unlogged: boolean;
    is_key_deferrable: boolean;
    uniques: string[];
    checks: string[];
    firing: string[];
    name: string | null;
    type: string;
    is_key: boolean;
    is_required: boolean;
    is_not_null: boolean;
    generated: "stored" | "virtual" | null;
    identity: string | null;
    collation: string | null;
    is_deterministic: boolean;
    labels: string[] | null;
  }>(
    `select c.relkind::text as kind, c.relpersistence = 'u' as unlogged, a.attname as name,
            exists (select 1 from pg_catalog.pg_index i
                     where i.indrelid = c.oid and i.indisprimary and not i.indimmediate) as is_key_deferrable,
            pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
            exists (select 1 from pg_catalog.pg_index i
                     where i.indrelid = c.oid and i.indisprimary
                       and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])) as is_key,
            (a.attnotnull or t.typnotnull) and not a.atthasdef and a.attidentity = '' and t.typdefault is null
              as is_required,
            a.attnotnull or t.typnotnull as is_not_null,
            case a.attgenerated::text when 's' then 'stored' when 'v' then 'virtual' end as generated,
            case a.attidentity::text when 'a' then 'always' when 'd' then 'by default' end as identity,
            case when a.attcollation <> t.typcollation then pg_catalog.quote_ident(l.collname) end as collation,
            coalesce(l.collisdeterministic, true) as is_deterministic,
            (select pg_catalog.array_agg(e.enumlabel::text order by e.enumsortorder) from pg_catalog.pg_enum e
              where e.enumtypid in (b.oid, b.typelem)) as labels,
            array(select pg_catalog.format('(%s)%s%s',
                           (select pg_catalog.string_agg(pg_catalog.pg_get_indexdef(i.indexrelid, k, true), ', ' order by k)
                              from pg_catalog.generate_series(1, i.indnkeyatts) k),
                           case when pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' then ' NULLS NOT DISTINCT' end,
                           ' WHERE ' || pg_catalog.pg_get_expr(i.indpred, i.indrelid, true))
                    from pg_catalog.pg_index i
                   where i.indrelid = c.oid and i.indisunique and not i.indisprimary order by 1) as uniques,
            array(select pg_catalog.pg_get_constraintdef(k.oid, true) from pg_catalog.pg_constraint k
                   where k.conrelid = c.oid and k.contype in ('c', 'x') order by 1) as checks,
            array(select 'trigger ' || pg_catalog.quote_ident(g.tgname) from pg_catalog.pg_trigger g
                   where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled in ('A', 'R')
                  union all
                  select 'rule ' || pg_catalog.quote_ident(r.rulename) from pg_catalog.pg_rewrite r
                   where r.ev_class = c.oid and r.ev_enabled in ('A', 'R') order by 1) as firing
       from pg_catalog.pg_class c
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       left join pg_catalog.pg_type t on t.oid = a.atttypid
       left join pg_catalog.pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
       left join pg_catalog.pg_collation l on l.oid = a.attcollation
      where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
      order by a.attnum`,
    [schema, name],
  );
  const first = rows[0];
  if (first === undefined) return null;
  return {
    kind: first.kind,
    isUnlogged: first.unlogged,
    isKeyDeferrable: first.is_key_deferrable,
    uniques: first.uniques,
    checks: first.checks,
    firing: first.firing,
    columns: rows.flatMap((row) =>
      row.name === null ? [] : [{
        name: row.name,
        type: row.type,
        isKey: row.is_key,
        isRequired: row.is_required,
        isNotNull: row.is_not_null,
        generated: row.generated,
        identity: row.identity,
        collation: row.collation,
        isDeterministic: row.is_deterministic,
        labels: row.labels,
      }]
    ),
  };
}

export interface Finding {
  /** ERROR: rows do not get through, or arrive wrong. WARNING: some may not, or it is merely different. */
  readonly level: "ERROR" | "WARNING";
  readonly text: string;
}

/** Of a deletion and an insertion of one key the later would count, though they mean different rows. */
const DEFERRABLE =
  "has a deferrable primary key: while two rows have one key nothing tells which of them a change means";

/**
 * Why a table cannot be replicated from here.
 * @returns null when it can
 */
export function unfitness(table: string, structure: TableStructure | null): string | null {
  if (structure === null) return `No table matches ${table}`;
  if (structure.kind === "p") return `Table ${table} is partitioned: add its partitions instead`;
  if (!structure.columns.some((column) => column.isKey)) return `Table ${table} has no primary key`;
  if (structure.isKeyDeferrable) return `Table ${table} ${DEFERRABLE}`;
  return null;
}

/** What keeps a table of the provider from being replicated into the subscriber's table of the same name. */
export function compareStructure(
  table: string,
  provider: TableStructure | null,
  subscriber: TableStructure | null,
): Finding[] {
  const findings: Finding[] = [];
  const error = (text: string) => findings.push({ level: "ERROR", text });
  const warning = (text: string) => findings.push({ level: "WARNING", text });
  if (provider === null) error(`Table ${table} missing from provider side`);
  else if (subscriber === null) error(`Table ${table} missing from subscriber side`);
  if (provider === null || subscriber === null) return findings;

  for (const [side, { columns, kind, isUnlogged, isKeyDeferrable }] of Object.entries({ provider, subscriber })) {
    if (kind === "p") error(`${side} table ${table} is partitioned: add its partitions instead`);
    if (!columns.some((column) => column.isKey)) error(`${side} table ${table} has no primary key`);
    if (side === "provider" && isKeyDeferrable) error(`provider table ${table} ${DEFERRABLE}`);
    if (isUnlogged) {
      warning(`${side} table ${table} is unlogged: a crash of the server empties it, and nothing tells the other side`);
    }
  }
  const there = new Map(subscriber.columns.map((column) => [column.name, column]));
  for (const column of provider.columns) {
    const other = there.get(column.name);
    if (other !== undefined) compareColumn(table, column, other, error, warning);
    else if (column.generated !== null) {
      warning(`${table}: column ${column.name}, generated on provider, not on subscriber`);
    } else error(`${table}: column ${column.name} on provider not on subscriber`);
  }
  const sent = new Set(provider.columns.map((column) => column.name));
  for (const { name, isRequired } of subscriber.columns) {
    if (sent.has(name)) continue;
    const text = `table ${table} structure is not same: column ${name} on subscriber not on provider`;
    if (isRequired) error(`${text}, and it is NOT NULL without a default: no row could be copied`);
    else warning(`${text}, trying to continue`);
  }
  for (const unique of surplus(subscriber.uniques, provider.uniques)) {
    warning(`${table}: unique ${unique} on subscriber only: rows may be refused that the provider takes`);
  }
  for (const check of surplus(subscriber.checks, provider.checks)) {
    warning(`${table}: constraint ${check} on subscriber only: rows may be refused that the provider takes`);
  }
  for (const name of subscriber.firing) warning(`${table}: ${name} of the subscriber fires for replayed rows too`);
  return findings;
}

function compareColumn(
  table: string,
  here: ColumnStructure,
  there: ColumnStructure,
  error: (text: string) => void,
  warning: (text: string) => void,
): void {
  const differs = (what: string, onProvider: string | null, onSubscriber: string | null) =>
    `${table}: column ${here.name} is ${onProvider ?? `no ${what}`} on provider, ${
      onSubscriber ?? `no ${what}`
    } on subscriber`;
  if (there.isKey !== here.isKey) error(`${table}: pk different on column ${here.name}`);
  if (there.type !== here.type) warning(differs("", here.type, there.type));
  if (here.generated !== null && there.generated === null) {
    error(`${table}: column ${here.name} is generated on provider only: the first copy would leave it empty`);
  } else if (there.generated !== null && here.generated === null) {
    warning(`${table}: column ${here.name} is generated on subscriber only: it does not get the provider's values`);
  }
  if (there.isNotNull && !here.isNotNull && there.generated === null) {
    warning(`${table}: column ${here.name} is NOT NULL on subscriber only: rows with NULL will be refused`);
  }
  if (there.identity !== here.identity) {
    const shown = (identity: string | null) => identity && `identity (${identity})`;
    warning(differs("identity", shown(here.identity), shown(there.identity)));
  }
  if (here.isKey && there.isKey) {
    if (there.isDeterministic !== here.isDeterministic) {
      const text = (column: ColumnStructure) => column.isDeterministic ? "the same only when" : "the same even if not";
      error(
        `${table}: keys in column ${here.name} are ${text(here)} equal byte by byte on provider, ${text(there)} on ` +
          "subscriber",
      );
    } else if (there.collation !== here.collation) {
      const shown = (collation: string | null) => `collated by ${collation ?? "default"}`;
      warning(differs("", shown(here.collation), shown(there.collation)));
    }
  }
  const unknown = there.labels === null ? [] : surplus(here.labels ?? [], there.labels);
  if (unknown.length > 0) {
    warning(
      `${table}: column ${here.name}: type ${there.type} of the subscriber does not know ` +
        unknown.map((label) => `'${label}'`).join(", "),
    );
  }
}

/** What is in `these` and not in `those`, once each. */
function surplus(these: readonly string[], those: readonly string[]): string[] {
  return [...new Set(these)].filter((text) => !those.includes(text));
}

/** Relations by `pg_class.relkind`. */
const KINDS = { table: ["r", "p"], sequence: ["S"] } as const;
export type RelationKind = keyof typeof KINDS;

/** All tables a user may want to replicate, full names, sorted. */
export function userTables(db: Queryable): Promise<string[]> {
  return relations(db, "table", "not");
}

/** All sequences a user may want to replicate, full names, sorted. */
export function userSequences(db: Queryable): Promise<string[]> {
  return relations(db, "sequence", "not");
}

/**
 * Those in schemas with a dot in their names, which are not among the others: a full name splits at its first dot, so
 * nobody could mean them.
 */
export function unnameable(db: Queryable, kind: RelationKind): Promise<string[]> {
  return relations(db, kind, "");
}

async function relations(db: Queryable, kind: RelationKind, dotted: "not" | ""): Promise<string[]> {
  const rows = await db.query<{ name: string }>(
    `select n.nspname || '.' || c.relname as name
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind = any ($1)
        and n.nspname not in ('pgq', 'pgq_node', 'pgq_coop', 'pgq_ext', 'londiste', 'skyq', 'pg_catalog',
                              'information_schema')
        and n.nspname !~ '^pg_(toast|temp)' and ${dotted} strpos(n.nspname, '.') > 0
      order by n.nspname, c.relname`,
    [KINDS[kind]],
  );
  return rows.map((row) => row.name);
}
