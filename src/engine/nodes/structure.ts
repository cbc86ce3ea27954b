import type { Queryable } from "../../db/queryable.ts";
import { splitName } from "../../db/quote.ts";

export interface ColumnStructure {
  readonly name: string;
  readonly type: string;
  readonly isKey: boolean;
  /** NOT NULL, and nothing gives it a value when the row does not. */
  readonly isRequired: boolean;
}

export interface TableStructure {
  /** `r` ordinary, `p` partitioned. */
  readonly kind: string;
  /** In table order. */
  readonly columns: readonly ColumnStructure[];
}

/** Reads columns and primary key. @returns null when there is no such table */
export async function readStructure(db: Queryable, table: string): Promise<TableStructure | null> {
  const { schema, name } = splitName(table);
  const rows = await db.query<
    { kind: string; name: string | null; type: string; is_key: boolean; is_required: boolean }
  >(
    `select c.relkind::text as kind, a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
            exists (select 1 from pg_catalog.pg_index i
                     where i.indrelid = c.oid and i.indisprimary
                       and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])) as is_key,
            (a.attnotnull or t.typnotnull) and not a.atthasdef and a.attidentity = '' and t.typdefault is null
              as is_required
       from pg_catalog.pg_class c
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       left join pg_catalog.pg_type t on t.oid = a.atttypid
      where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
      order by a.attnum`,
    [schema, name],
  );
  if (rows[0] === undefined) return null;
  return {
    kind: rows[0].kind,
    columns: rows.flatMap((row) =>
      row.name === null ? [] : [{ name: row.name, type: row.type, isKey: row.is_key, isRequired: row.is_required }]
    ),
  };
}

export interface Finding {
  readonly level: "ERROR" | "WARNING";
  readonly text: string;
}

/** What keeps a table of the provider from being replicated into the subscriber's table of the same name. */
export function compareStructure(
  table: string,
  provider: TableStructure | null,
  subscriber: TableStructure | null,
): Finding[] {
  const error = (text: string): Finding => ({ level: "ERROR", text });
  if (provider === null) return [error(`Table ${table} missing from provider side`)];
  if (subscriber === null) return [error(`Table ${table} missing from subscriber side`)];
  const findings: Finding[] = [];
  for (const [side, { columns }] of Object.entries({ provider, subscriber })) {
    if (!columns.some((column) => column.isKey)) findings.push(error(`${side} table ${table} has no primary key`));
  }
  const there = new Map(subscriber.columns.map((column) => [column.name, column]));
  for (const column of provider.columns) {
    const other = there.get(column.name);
    if (other === undefined) {
      findings.push(error(`${table}: column ${column.name} on provider not on subscriber`));
    } else if (other.isKey !== column.isKey) {
      findings.push(error(`${table}: pk different on column ${column.name}`));
    } else if (other.type !== column.type) {
      findings.push({
        level: "WARNING",
        text: `${table}: column ${column.name} is ${column.type} on provider, ${other.type} on subscriber`,
      });
    }
  }
  const sent = new Set(provider.columns.map((column) => column.name));
  for (const { name, isRequired } of subscriber.columns) {
    if (sent.has(name)) continue;
    const text = `table ${table} structure is not same: column ${name} on subscriber not on provider`;
    findings.push(
      isRequired
        ? error(`${text}, and it is NOT NULL without a default: no row could be copied`)
        : { level: "WARNING", text: `${text}, trying to continue` },
    );
  }
  return findings;
}

/** All tables a user may want to replicate, full names, sorted. */
export async function userTables(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ name: string }>(
    `select n.nspname || '.' || c.relname as name
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and ${USER_SCHEMA} order by n.nspname, c.relname`,
  );
  return rows.map((row) => row.name);
}

/** All sequences a user may want to replicate, full names, sorted. */
export async function userSequences(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ name: string }>(
    `select n.nspname || '.' || c.relname as name
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'S' and ${USER_SCHEMA} order by n.nspname, c.relname`,
  );
  return rows.map((row) => row.name);
}

const USER_SCHEMA = `n.nspname not in ('pgq', 'pgq_node', 'pgq_coop', 'pgq_ext', 'londiste', 'skyq', 'pg_catalog',
  'information_schema') and n.nspname !~ '^pg_(toast|temp)'`;
