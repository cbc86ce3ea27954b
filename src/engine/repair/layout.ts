/** What of a table is compared: its key, its columns, and the order in which both servers can give the rows. */
import type { KeyOrder, Side } from "../../codec/merge_codec.ts";
import { SkyqError } from "../../base/errors.ts";
import { quoteIdent, splitName } from "../../db/quote.ts";
import { one, type Queryable } from "../../db/queryable.ts";

export type { KeyOrder, Side } from "../../codec/merge_codec.ts";

/** A column as one side has it. */
export interface SideColumn {
  /** As people read it: `numeric(10,2)`. */
  readonly type: string;
  /** Schema and name of the type, quoted, without length; of a domain its base type's. */
  readonly baseType: string;
  /** The base type's name when it is one of the server's own, else "". */
  readonly builtin: string;
  readonly isGenerated: boolean;
  /** GENERATED ALWAYS AS IDENTITY. */
  readonly isIdentityAlways: boolean;
  readonly isNotNull: boolean;
  /** Whether `=` tells values apart; where it does not (json, point), they are compared as text. */
  readonly hasEquality: boolean;
  /** That `=`, with its schema unless it is the server's own: an extension's need not be in anybody's search path. */
  readonly equality: string;
  /** The server compares values of the column as bytes. */
  readonly isByteOrdered: boolean;
  readonly isEnum: boolean;
  readonly isDomain: boolean;
  /** Texts that read differently are never equal. */
  readonly isDeterministic: boolean;
  /** The value is a name that the server shortens by the search path: regclass and its kind. */
  readonly isShownByPath: boolean;
  /** The name, quoted where the server would. */
  readonly quotedName: string;
}

export interface LayoutColumn {
  readonly name: string;
  readonly isKey: boolean;
  /** Computed by the target: compared, not fixed. */
  readonly isGenerated: boolean;
  readonly source: SideColumn;
  readonly target: SideColumn;
}

export interface KeyColumn extends LayoutColumn {
  /** How the merge compares its cells; `order.ts` asks the servers for the same order. */
  readonly order: KeyOrder;
  /** Whether the server may use an index in that order, per side; else it has to sort by the text's bytes. */
  readonly isNative: Readonly<Record<Side, boolean>>;
  readonly isNullable: boolean;
  /** The target may call two values equal that read differently, and that the merge does not: '1 mon' and '30 days'. */
  readonly isLoose: boolean;
}

/** One side's table. */
export interface SideTable {
  /** Full name, not quoted. */
  readonly table: string;
  /** Schema and name, quoted where the server would. */
  readonly quotedTable: string;
  /** Its rows are in its partitions: never `only`. */
  readonly isPartitioned: boolean;
  /** Triggers and foreign keys, by name, that fire when somebody else than a replica changes rows. */
  readonly firing: readonly string[];
  /** One of them tells a queue, and so other databases, what was changed. */
  readonly isCaptured: boolean;
  /** Rows of other tables are deleted or changed when one of this table is deleted. */
  readonly isFollowed: boolean;
  /** A replica does not look at constraints that are deferrable. */
  readonly hasDeferrable: boolean;
  readonly serverEncoding: string;
  /** What `timestamptz` is shown in by default. */
  readonly timeZone: string;
}

export interface Layout {
  readonly source: SideTable;
  readonly target: SideTable;
  /** In the order of the source's index. */
  readonly key: readonly KeyColumn[];
  /** All that are compared, in the order of a row's cells: key first, then the source's order. */
  readonly columns: readonly LayoutColumn[];
  /** Names of columns that only one side has. */
  readonly sourceOnly: readonly string[];
  readonly targetOnly: readonly string[];
  /** Columns of the target that can be set and are not compared, quoted. */
  readonly leftOut: readonly string[];
  /**
   * What both connections are set to while they read: UTF8, or SQL_ASCII (bytes as they are stored) when either
   * database is that.
   */
  readonly clientEncoding: "UTF8" | "SQL_ASCII";
  /** For people, a sentence each: columns on one side only, types that differ. */
  readonly warnings: readonly string[];
}

export interface LayoutOptions {
  /** Full names. */
  sourceTable: string;
  targetTable: string;
  /** Columns to leave out. */
  ignoreColumns?: readonly string[];
  /** How messages call the two sides, `provider` and `subscriber` unless told. */
  sideNames?: Readonly<Record<Side, string>>;
}

interface TableRow {
  oid: number;
  kind: string;
  quoted: string;
  encoding: string;
  time_zone: string;
  is_byte_ordered: boolean;
  firing: string[];
  is_captured: boolean;
  is_followed: boolean;
  has_deferrable: boolean;
}

interface ColumnRow {
  name: string;
  quoted: string;
  type: string;
  base_type: string;
  builtin: string;
  element: string;
  not_null: boolean;
  generated: boolean;
  identity_always: boolean;
  has_equality: boolean;
  equality: string | null;
  is_enum: boolean;
  is_domain: boolean;
  is_deterministic: boolean;
  /** `default`, `bytes` or `other`; null when the type has no collation. */
  collation: string | null;
}

interface SideInfo {
  readonly table: SideTable;
  readonly columns: readonly (SideColumn & { name: string })[];
  readonly keys: readonly { columns: readonly string[]; rank: number }[];
}

/**
 * Reads what both sides have, and settles what is compared and in which order.
 * @throws {SkyqError} `not-found` (no such table), `structure` (no key, keys that differ, no column in common),
 *   `usage` (a column to leave out that is not there, or is of the key)
 */
export async function readLayout(source: Queryable, target: Queryable, options: LayoutOptions): Promise<Layout> {
  const sideNames = options.sideNames ?? { source: "provider", target: "subscriber" };
  const [from, to] = await Promise.all([
    readSide(source, options.sourceTable, sideNames.source),
    readSide(target, options.targetTable, sideNames.target),
  ]);
  return layOut(from, to, options, sideNames);
}

function layOut(from: SideInfo, to: SideInfo, options: LayoutOptions, sideNames: Record<Side, string>): Layout {
  const act = `Cannot compare table "${options.sourceTable}"`;
  const ignored = new Set(options.ignoreColumns);
  const there = new Map(to.columns.map((column) => [column.name, column]));
  const here = new Set(from.columns.map((column) => column.name));
  for (const name of ignored) {
    if (here.has(name) || there.has(name)) continue;
    throw new SkyqError("usage", `${act}: no side has a column "${name}" to leave out`);
  }
  const keyNames = commonKey(from, to, act, sideNames);
  const ignoredKey = keyNames.find((name) => ignored.has(name));
  if (ignoredKey !== undefined) {
    throw new SkyqError("usage", `${act}: column "${ignoredKey}" is of the key, and cannot be left out`);
  }

  const common = from.columns.flatMap((column): LayoutColumn[] => {
    const other = there.get(column.name);
    if (other === undefined || ignored.has(column.name)) return [];
    const { name } = column;
    return [{ name, isKey: keyNames.includes(name), isGenerated: other.isGenerated, source: column, target: other }];
  });
  const encodings: Record<Side, string> = { source: from.table.serverEncoding, target: to.table.serverEncoding };
  const key = keyNames.map((name) => keyColumn(common.find((column) => column.name === name)!, encodings));
  const rest = common.filter((column) => !column.isKey);
  const sourceOnly = from.columns.map((c) => c.name).filter((name) => !there.has(name) && !ignored.has(name));
  const targetOnly = to.columns.map((c) => c.name).filter((name) => !here.has(name) && !ignored.has(name));
  return {
    source: from.table,
    target: to.table,
    key,
    columns: [...key, ...rest],
    sourceOnly,
    targetOnly,
    leftOut: to.columns.filter(({ name, isGenerated }) => !isGenerated && !common.some((one) => one.name === name))
      .map(({ quotedName }) => quotedName),
    clientEncoding: Object.values(encodings).includes("SQL_ASCII") ? "SQL_ASCII" : "UTF8",
    warnings: warningsOf(options.sourceTable, [...key, ...rest], sourceOnly, targetOnly, sideNames),
  };
}

function warningsOf(
  table: string,
  columns: readonly LayoutColumn[],
  sourceOnly: readonly string[],
  targetOnly: readonly string[],
  sideNames: Record<Side, string>,
): string[] {
  const warnings: string[] = [];
  if (sourceOnly.length > 0) {
    warnings.push(`${table}: ignoring columns that only the ${sideNames.source} has: ${sourceOnly.join(", ")}`);
  }
  if (targetOnly.length > 0) {
    warnings.push(`${table}: ignoring columns that only the ${sideNames.target} has: ${targetOnly.join(", ")}`);
  }
  for (const { name, source, target } of columns) {
    if (source.type === target.type) continue;
    warnings.push(
      `${table}: column ${name} is ${source.type} on the ${sideNames.source}, ${target.type} on the ` +
        `${sideNames.target}: compared as text`,
    );
  }
  return warnings;
}

/** The first key of the source, best first, that the target has as well. */
function commonKey(from: SideInfo, to: SideInfo, act: string, sideNames: Record<Side, string>): readonly string[] {
  for (const [side, { keys }] of [[sideNames.source, from], [sideNames.target, to]] as const) {
    if (keys.length > 0) continue;
    throw new SkyqError("structure", `${act}: the ${side}'s table has no primary key`, {
      hint: "Rows are told apart by a primary key, or a unique index over columns that are not null: add one.",
    });
  }
  const has = (keys: SideInfo["keys"], columns: readonly string[]) =>
    keys.some((key) => key.columns.length === columns.length && columns.every((name) => key.columns.includes(name)));
  const key = from.keys.find(({ columns }) => has(to.keys, columns));
  if (key !== undefined) return key.columns;
  const shown = [from.keys[0]!, to.keys[0]!].map(({ columns }) => `(${columns.join(", ")})`);
  throw new SkyqError("structure", `${act}: pkeys do not match`, {
    hint: `The ${sideNames.source}'s is ${shown[0]}, the ${sideNames.target}'s ${shown[1]}.`,
  });
}

/** What `=` wants behind a column: for a domain over a type of the user's (an enum, a range) it finds no operator. */
export function castForEquality({ isDomain, builtin, baseType }: SideColumn): string {
  return isDomain && builtin === "" ? `::${baseType}` : "";
}

/** Built-in types whose own order is that of the bytes of their text. */
const BYTE_TYPES = new Set(["uuid", "bytea", "bool", "macaddr", "macaddr8", "time", "bit", "varbit"]);
/** Other types of which each value has one text. */
const OTHER_STRICT_TYPES = new Set(["bpchar", "char", "inet", "cidr", "pg_lsn", "money", "timetz", "oid", "xid8"]);
const TEXT_TYPES = new Set(["text", "varchar", "name"]);
const INTEGER_TYPES = new Set(["int2", "int4", "int8"]);
const TIME_TYPES = new Set(["date", "timestamp", "timestamptz"]);

function keyColumn(column: LayoutColumn, encodings: Record<Side, string>): KeyColumn {
  const { source, target } = column;
  const order = keyOrder(source, target);
  const isNative = (side: Side): boolean => {
    if (order === "integer" || order === "decimal" || order === "time") return true;
    const { builtin, isByteOrdered } = column[side];
    if (BYTE_TYPES.has(builtin)) return true;
    if (!isByteOrdered || !keepsByteOrder(encodings[side])) return false;
    return TEXT_TYPES.has(builtin) || (builtin === "bpchar" && order === "padded");
  };
  return {
    ...column,
    order,
    isNative: { source: isNative("source"), target: isNative("target") },
    isNullable: !source.isNotNull || !target.isNotNull,
    isLoose: order === "bytes" && !(TEXT_TYPES.has(target.builtin) ? target.isDeterministic : isStrict(target)),
  };
}

function isStrict({ builtin, isEnum, isShownByPath }: SideColumn): boolean {
  // Names stand for ids, and what a name reads like depends on who runs the statement.
  return isEnum || isShownByPath || BYTE_TYPES.has(builtin) || OTHER_STRICT_TYPES.has(builtin);
}

function keyOrder(source: SideColumn, target: SideColumn): KeyOrder {
  const [a, b] = [source.builtin, target.builtin];
  if (a === "oid" && b === "oid") return "integer";
  if (INTEGER_TYPES.has(a) && INTEGER_TYPES.has(b)) return "integer";
  const isExact = (type: string) => type === "numeric" || INTEGER_TYPES.has(type);
  if (isExact(a) && isExact(b)) return "decimal";
  if ((a === "float4" || a === "float8") && a === b) return "decimal";
  if (TIME_TYPES.has(a) && (a === b || isZoneMixed(source, target))) return "time";
  if (a === "bpchar" && b === "bpchar" && source.type === target.type) return "padded";
  return "bytes";
}

/** One side has a timestamp with time zone, the other one without. */
export function isZoneMixed(source: SideColumn, target: SideColumn): boolean {
  const types = [source.builtin, target.builtin].sort();
  return types[0] === "timestamp" && types[1] === "timestamptz";
}

/** Whether texts of the encoding have the same order of bytes there and when converted to UTF-8. */
export function keepsByteOrder(encoding: string): boolean {
  return ["UTF8", "LATIN1", "SQL_ASCII"].includes(encoding);
}

// ---- catalogues

const PARTITIONS = "select p.relid from pg_catalog.pg_partition_tree(c.oid) p";

/** Triggers of table c that a replica keeps quiet; of those that belong to constraints only foreign keys'. */
const FIRING = `
  from pg_catalog.pg_trigger g join pg_catalog.pg_proc f on f.oid = g.tgfoid
  left join pg_catalog.pg_constraint k on k.oid = g.tgconstraint
 where g.tgrelid in (select c.oid union all ${PARTITIONS}) and g.tgenabled = 'O' and (not g.tgisinternal or k.contype = 'f')`;

async function readSide(db: Queryable, table: string, side: string): Promise<SideInfo> {
  const { schema, name } = splitName(table);
  const act = `Cannot compare table "${table}"`;
  const found = await db.query<TableRow>(
    `select c.oid, c.relkind::text as kind,
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as quoted,
            pg_catalog.current_setting('server_encoding') as encoding,
            pg_catalog.current_setting('TimeZone') as time_zone,
            case coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c')
              when 'c' then d.datcollate in ('C', 'POSIX') when 'b' then true else false end as is_byte_ordered,
            array(select distinct coalesce(k.conname, g.tgname)::text ${FIRING} order by 1) as firing,
            exists (select 1 ${FIRING} and f.pronamespace::regnamespace::text in ('pgq', 'skyq', 'londiste')
                      and pg_catalog.strpos(pg_catalog.encode(g.tgargs, 'escape'), 'deny') = 0) as is_captured,
            exists (select 1 from pg_catalog.pg_constraint r
                     where r.confrelid = c.oid and r.contype = 'f' and r.confdeltype in ('c', 'n', 'd')) as is_followed,
            exists (select 1 from pg_catalog.pg_index i
                     where i.indrelid in (select c.oid union all ${PARTITIONS}) and not i.indimmediate) as has_deferrable
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace,
            pg_catalog.pg_database d
      where n.nspname = $1 and c.relname = $2 and d.datname = pg_catalog.current_database()`,
    [schema, name],
  );
  const [row] = found;
  if (row === undefined) throw new SkyqError("not-found", `${act}: no such table on the ${side}`);
  if (row.kind !== "r" && row.kind !== "p") {
    const kinds: Record<string, string> = { v: "a view", m: "a materialized view", f: "a foreign table" };
    throw new SkyqError("not-found", `${act}: on the ${side} it is ${kinds[row.kind] ?? "no table"}`);
  }
  const columns = await db.query<ColumnRow>(COLUMNS_SQL, [row.oid]);
  const keys = await db.query<{ columns: string[]; rank: number }>(KEYS_SQL, [row.oid]);
  return {
    table: {
      table,
      quotedTable: row.quoted,
      isPartitioned: row.kind === "p",
      firing: row.firing,
      isCaptured: row.is_captured,
      isFollowed: row.is_followed,
      hasDeferrable: row.has_deferrable,
      serverEncoding: row.encoding,
      timeZone: row.time_zone,
    },
    columns: columns.map((column) => sideColumn(column, row.is_byte_ordered)),
    keys,
  };
}

function sideColumn(row: ColumnRow, isByteOrdered: boolean): SideColumn & { name: string } {
  return {
    name: row.name,
    quotedName: row.quoted,
    type: row.type,
    baseType: row.base_type,
    builtin: row.builtin,
    isGenerated: row.generated,
    isIdentityAlways: row.identity_always,
    isNotNull: row.not_null,
    hasEquality: row.has_equality,
    equality: row.equality ?? "=",
    isEnum: row.is_enum,
    isDomain: row.is_domain,
    isDeterministic: row.is_deterministic,
    isByteOrdered: row.collation === "default" ? isByteOrdered : row.collation === "bytes",
    isShownByPath: /^reg|^aclitem$/.test(row.element),
  };
}

/**
 * $1 the table. Domains are followed to their base type, but one that is NOT NULL proves nothing: a subquery without rows
 * gives NULL of it; nor does a constraint that is NOT VALID (PostgreSQL 18). Needs no column that PostgreSQL 13 does not have.
 */
const COLUMNS_SQL = `
  with recursive base (attnum, oid) as (
    select a.attnum, a.atttypid from pg_catalog.pg_attribute a
     where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
    union all
    select b.attnum, t.typbasetype from base b join pg_catalog.pg_type t on t.oid = b.oid where t.typtype = 'd'
  )
  select a.attname as name, pg_catalog.quote_ident(a.attname) as quoted,
         pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
         pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) as base_type,
         case when n.nspname = 'pg_catalog' then t.typname else '' end as builtin,
         coalesce(e.typname, t.typname) as element,
         a.attnotnull and not exists (
           select 1 from pg_catalog.pg_constraint k
            where k.conrelid = a.attrelid and k.contype = 'n' and a.attnum = any (k.conkey) and not k.convalidated) as not_null,
         a.attgenerated <> '' as generated, a.attidentity = 'a' as identity_always,
         coalesce(e.typtype, t.typtype) in ('e', 'r', 'm') or exists (
           select 1 from pg_catalog.pg_opclass o join pg_catalog.pg_am m on m.oid = o.opcmethod
            where m.amname = 'btree' and o.opcdefault
              and (o.opcintype = coalesce(e.oid, t.oid) or exists (
                    select 1 from pg_catalog.pg_cast k
                     where k.castsource = coalesce(e.oid, t.oid) and k.casttarget = o.opcintype
                       and k.castmethod = 'b' and k.castcontext = 'i'))) as has_equality,
         (select 'operator(' || pg_catalog.quote_ident(s.nspname) || '.' || q.oprname || ')'
            from pg_catalog.pg_opclass o join pg_catalog.pg_am m on m.oid = o.opcmethod
            join pg_catalog.pg_amop p on p.amopfamily = o.opcfamily and p.amopstrategy = 3
             and p.amoplefttype = o.opcintype and p.amoprighttype = o.opcintype
            join pg_catalog.pg_operator q on q.oid = p.amopopr join pg_catalog.pg_namespace s on s.oid = q.oprnamespace
           where m.amname = 'btree' and o.opcdefault and o.opcintype = t.oid and s.nspname <> 'pg_catalog') as equality,
         t.typtype = 'e' as is_enum, a.atttypid <> t.oid as is_domain, coalesce(col.collisdeterministic, true) as is_deterministic,
         case when a.attcollation = 0 then null
              when col.collname = 'default' and col.collnamespace = 'pg_catalog'::regnamespace then 'default'
              when col.collprovider = 'b' or col.collprovider = 'c' and col.collcollate in ('C', 'POSIX') then 'bytes'
              else 'other' end as collation
    from base b
    join pg_catalog.pg_attribute a on a.attrelid = $1 and a.attnum = b.attnum
    join pg_catalog.pg_type t on t.oid = b.oid and t.typtype <> 'd'
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A'
    left join pg_catalog.pg_collation col on col.oid = a.attcollation
   order by a.attnum`;

/**
 * $1 the table. Columns per key in index order, best key first: primary, unique over not-null columns, unique with
 * NULLs that are equal, any other unique one.
 */
const KEYS_SQL = `
  select x.columns, x.rank from (
    select i.indexrelid, i.indnkeyatts,
           array(select a.attname::text
                   from pg_catalog.generate_series(0, i.indnkeyatts - 1) as k(n)
                   join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[k.n]
                  order by k.n) as columns,
           case when i.indisprimary then 0
                when not exists (select 1 from pg_catalog.pg_attribute a
                                  where a.attrelid = i.indrelid and not a.attnotnull
                                    and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])) then 1
                when pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' then 2
                else 3 end as rank
      from pg_catalog.pg_index i
     where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null) x
    join pg_catalog.pg_class c on c.oid = x.indexrelid
   order by x.rank, x.indnkeyatts, c.relname`;

/** The one row count that a planner believes in, 0 when it has never looked: for progress only. */
export async function estimateRows(db: Queryable, table: SideTable): Promise<number> {
  const { schema, name } = splitName(table.table);
  const { rows } = await one<{ rows: number }>(
    db,
    `select coalesce(sum(greatest(c.reltuples, 0)), 0)::float8 as rows from pg_catalog.pg_class c
      where c.relkind = 'r' and c.oid in (
        select $1::pg_catalog.regclass::oid union all select relid::oid from pg_catalog.pg_partition_tree($1))`,
    [`${quoteIdent(schema)}.${quoteIdent(name)}`],
  );
  return rows;
}
