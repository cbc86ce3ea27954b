// What makes a table of the provider again elsewhere, read from its catalogue: pg_dump may not be there.

import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName, splitName } from "../../db/quote.ts";
import type { SqlConnection } from "../../db/sql.ts";

/** A statement, and what it is there for. */
export interface Step {
  readonly sql: string;
  /** For the log: `index orders_at`, `owner shopapp`. */
  readonly what: string;
}

export interface TypeDefinition {
  /** Quoted, with its schema. */
  readonly name: string;
  readonly schema: string;
  /** Null when no statement of ours makes it. */
  readonly create: Step | null;
  /** Why not. */
  readonly problem: string | null;
  readonly owner: string;
}

export interface SequenceDefinition {
  /** Full name, unquoted. */
  readonly name: string;
  readonly schema: string;
  readonly create: Step;
  /** Ties it to its column; null for one of its own. */
  readonly ownedBy: Step | null;
  readonly comments: readonly Step[];
  readonly grants: readonly Grant[];
  readonly owner: string;
}

/** A statement that needs a role of the provider's to be there. */
export interface Grant extends Step {
  /** Null for PUBLIC. */
  readonly role: string | null;
}

/** All names in statements are qualified and quoted. The order of the members is the order to run them in. */
export interface TableDefinition {
  readonly table: string;
  readonly schema: string;
  /** Schema comment and grants, for one that has to be made. */
  readonly schemaSteps: readonly Step[];
  readonly schemaGrants: readonly Grant[];
  readonly schemaOwner: string;
  /** What the columns' types are made of, each after what it needs. */
  readonly types: readonly TypeDefinition[];
  /** Those that defaults take numbers from. */
  readonly sequences: readonly SequenceDefinition[];
  /** Columns, identity, generation, NOT NULL, the primary key. */
  readonly create: Step;
  readonly defaults: readonly Step[];
  /** Unique, check and exclusion constraints, then the indexes that no constraint owns. */
  readonly constraints: readonly Step[];
  /** Constraints that are not made: the provider's own rows may violate them. */
  readonly notValid: readonly string[];
  /** Storage, comments, statistics: what a server of another version may not know. */
  readonly details: readonly Step[];
  /** Extended statistics, quoted, with their owners. */
  readonly statistics: readonly { readonly name: string; readonly owner: string }[];
  /** Triggers and rules. */
  readonly triggers: readonly Step[];
  readonly grants: readonly Grant[];
  readonly owner: string;
}

/** Reads what a table and everything that belongs to it is made of. @returns null when there is no such table */
export async function readTableDefinition(db: SqlConnection, table: string): Promise<TableDefinition | null> {
  return await db.transaction(async (tx) => {
    // With an empty path the server writes every name with its schema.
    await tx.exec(
      "set local search_path = ''; set local jit = off; set transaction isolation level repeatable read read only",
    );
    const { schema, name } = splitName(table);
    const [found] = await tx.query<{ oid: number; owner: string; schema_owner: string }>(
      `select c.oid, pg_get_userbyid(c.relowner) as owner, pg_get_userbyid(n.nspowner) as schema_owner
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = $1 and c.relname = $2 and c.relkind = 'r'`,
      [schema, name],
    );
    if (found === undefined) return null;
    const { oid } = found;
    const columns = await readColumns(tx, oid, db.serverVersion);
    const constraints = await readConstraints(tx, oid);
    const parts = [
      ...columns.map((column) => column.line),
      ...constraints.filter(({ type }) => type === "p").map(({ line }) => line),
    ];
    const sql = quoteFullName(table);
    return {
      table,
      schema,
      schemaSteps: await readComments(tx, "schema", schema),
      schemaGrants: await readGrants(tx, "schema", schema),
      schemaOwner: found.schema_owner,
      types: await readTypes(tx, oid),
      sequences: await readSequences(tx, oid),
      create: { sql: `create table ${sql} (\n    ${parts.join(",\n    ")}\n)`, what: `table ${table}` },
      defaults: columns.flatMap(({ name, default_sql }) =>
        default_sql === null ? [] : [{ sql: default_sql, what: `default of column ${name}` }]
      ),
      constraints: [
        ...constraints.filter(({ type, valid }) => type !== "p" && type !== "f" && valid)
          .map(({ line, name }) => ({ sql: `alter table only ${sql} add ${line}`, what: `constraint ${name}` })),
        ...await readIndexes(tx, oid),
      ],
      notValid: constraints.filter(({ valid, type }) => !valid && type !== "f").map(({ name }) => name),
      details: [
        ...columns.flatMap(({ details }) => details ?? []).map((detail) => ({ sql: detail, what: "storage" })),
        ...await readDetails(tx, oid),
      ],
      statistics: await tx.query(
        `select format('%I.%I', n.nspname, s.stxname) as name, pg_get_userbyid(s.stxowner) as owner
           from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where s.stxrelid = $1`,
        [oid],
      ),
      triggers: await readTriggers(tx, oid),
      grants: await readGrants(tx, "table", table),
      owner: found.owner,
    };
  });
}

/** Reads one sequence that no column owns, or as if none did. @returns null when there is none */
export async function readSequenceDefinition(db: SqlConnection, sequence: string): Promise<SequenceDefinition | null> {
  return await db.transaction(async (tx) => {
    await tx.exec(
      "set local search_path = ''; set local jit = off; set transaction isolation level repeatable read read only",
    );
    const { schema, name } = splitName(sequence);
    const rows = await tx.query<SequenceRow>(
      `${SEQUENCE_SQL} where n.nspname = $1 and c.relname = $2`,
      [schema, name],
    );
    return rows[0] === undefined ? null : await sequenceDefinition(tx, rows[0]);
  });
}

interface ColumnRow {
  name: string;
  line: string;
  default_sql: string | null;
  details: string[] | null;
}

async function readColumns(tx: Queryable, oid: number, version: number): Promise<ColumnRow[]> {
  // Since PostgreSQL 18 a column can be NOT NULL for new rows only.
  const notNull = version < 180000
    ? "a.attnotnull"
    : `a.attnotnull and not exists (select from pg_constraint k where k.conrelid = a.attrelid and k.contype = 'n'
                                      and k.conkey[1] = a.attnum and not k.convalidated)`;
  const compression = version < 140000 ? "null" : "nullif(a.attcompression::text, '')";
  return await tx.query<ColumnRow>(
    `select a.attname as name,
            format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
            || case when a.attcollation <> t.typcollation then format(' collate %I.%I', ln.nspname, l.collname) else '' end
            || case a.attgenerated::text
               when 's' then format(' generated always as (%s) stored', pg_get_expr(d.adbin, d.adrelid))
               when 'v' then format(' generated always as (%s) virtual', pg_get_expr(d.adbin, d.adrelid)) else '' end
            || case when a.attidentity::text <> '' then
                 format(' generated %s as identity (sequence name %I.%I increment %s minvalue %s maxvalue %s start %s '
                        || 'cache %s%s)',
                        case a.attidentity::text when 'a' then 'always' else 'by default' end, sn.nspname, sc.relname,
                        s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache,
                        case when s.seqcycle then ' cycle' else '' end) else '' end
            || case when ${notNull} then ' not null' else '' end as line,
            case when d.adbin is not null and a.attgenerated::text = '' then
                 format('alter table only %I.%I alter column %I set default %s', n.nspname, c.relname, a.attname,
                        pg_get_expr(d.adbin, d.adrelid)) end as default_sql,
            array_remove(array[
              case when a.attstorage <> t.typstorage then
                format('alter table only %I.%I alter column %I set storage %s', n.nspname, c.relname, a.attname,
                       case a.attstorage::text when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main'
                            else 'extended' end) end,
              case ${compression} when 'p' then
                format('alter table only %I.%I alter column %I set compression pglz', n.nspname, c.relname, a.attname)
                when 'l' then
                format('alter table only %I.%I alter column %I set compression lz4', n.nspname, c.relname, a.attname) end,
              case when a.attstattarget >= 0 then
                format('alter table only %I.%I alter column %I set statistics %s', n.nspname, c.relname, a.attname,
                       a.attstattarget) end,
              case when a.attoptions is not null then
                format('alter table only %I.%I alter column %I set (%s)', n.nspname, c.relname, a.attname,
                       array_to_string(a.attoptions, ', ')) end,
              case when col_description(c.oid, a.attnum) is not null then
                format('comment on column %I.%I.%I is %L', n.nspname, c.relname, a.attname,
                       col_description(c.oid, a.attnum)) end], null) as details
       from pg_attribute a
       join pg_class c on c.oid = a.attrelid
       join pg_namespace n on n.oid = c.relnamespace
       join pg_type t on t.oid = a.atttypid
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       left join pg_collation l on l.oid = a.attcollation
       left join pg_namespace ln on ln.oid = l.collnamespace
       left join pg_depend p on a.attidentity::text <> '' and p.classid = 'pg_class'::regclass and p.deptype = 'i'
             and p.refclassid = 'pg_class'::regclass and p.refobjid = a.attrelid and p.refobjsubid = a.attnum
       left join pg_sequence s on s.seqrelid = p.objid
       left join pg_class sc on sc.oid = s.seqrelid
       left join pg_namespace sn on sn.oid = sc.relnamespace
      where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
      order by a.attnum`,
    [oid],
  );
}

async function readConstraints(
  tx: Queryable,
  oid: number,
): Promise<{ name: string; type: string; valid: boolean; line: string }[]> {
  return await tx.query(
    `select k.conname as name, k.contype::text as type, k.convalidated as valid,
            format('constraint %I %s', k.conname, pg_get_constraintdef(k.oid)) as line
       from pg_constraint k where k.conrelid = $1 and k.contype in ('p', 'u', 'c', 'x', 'f')
      order by position(k.contype::text in 'pucxf'), k.conname`,
    [oid],
  );
}

async function readIndexes(tx: Queryable, oid: number): Promise<Step[]> {
  return await tx.query<{ sql: string; what: string }>(
    `select pg_get_indexdef(i.indexrelid) as sql, 'index ' || c.relname as what
       from pg_index i join pg_class c on c.oid = i.indexrelid
      where i.indrelid = $1 and i.indisvalid
        and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
      order by c.relname`,
    [oid],
  );
}

async function readDetails(tx: Queryable, oid: number): Promise<Step[]> {
  return await tx.query<{ sql: string; what: string }>(
    `with t as (select c.*, format('%I.%I', n.nspname, c.relname) as sql
                  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $1)
     select format('alter table only %s set (%s)', t.sql,
                   (select string_agg(format('%s = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')
                      from unnest(t.reloptions) o)) as sql, 'storage parameters' as what
       from t where t.reloptions is not null
     union all
     select format('alter table only %s set (%s)', t.sql,
                   (select string_agg(format('toast.%s = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')
                      from unnest(x.reloptions) o)), 'storage parameters'
       from t join pg_class x on x.oid = t.reltoastrelid where x.reloptions is not null
     union all
     select pg_get_statisticsobjdef(s.oid), 'statistics ' || s.stxname
       from t join pg_statistic_ext s on s.stxrelid = t.oid
     union all
     select format('comment on table %s is %L', t.sql, obj_description(t.oid, 'pg_class')), 'comment'
       from t where obj_description(t.oid, 'pg_class') is not null
     union all
     select format('comment on constraint %I on %s is %L', k.conname, t.sql, obj_description(k.oid, 'pg_constraint')),
            'comment of constraint ' || k.conname
       from t join pg_constraint k on k.conrelid = t.oid and k.contype in ('p', 'u', 'c', 'x') and k.convalidated
      where obj_description(k.oid, 'pg_constraint') is not null
     union all
     select format('comment on index %I.%I is %L', n.nspname, c.relname, obj_description(c.oid, 'pg_class')),
            'comment of index ' || c.relname
       from t join pg_index i on i.indrelid = t.oid and i.indisvalid
       join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
      where obj_description(c.oid, 'pg_class') is not null
     union all
     select format('alter table only %s cluster on %I', t.sql, c.relname), 'cluster mark'
       from t join pg_index i on i.indrelid = t.oid and i.indisclustered join pg_class c on c.oid = i.indexrelid`,
    [oid],
  );
}

async function readTriggers(tx: Queryable, oid: number): Promise<Step[]> {
  return await tx.query<{ sql: string; what: string }>(
    // Read before anything of skyq is installed, too: triggers that log into queues are known by their function's schema.
    `with t as (select c.oid, format('%I.%I', n.nspname, c.relname) as sql
                  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $1),
     g as (select g.* from t join pg_trigger g on g.tgrelid = t.oid
            where not g.tgisinternal and not exists (
                  select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                   where p.oid = g.tgfoid and n.nspname in ('pgq', 'skyq')))
     select pg_get_ruledef(r.oid) as sql, 'rule ' || r.rulename as what
       from t join pg_rewrite r on r.ev_class = t.oid
     union all
     select pg_get_triggerdef(g.oid), 'trigger ' || g.tgname
       from g
     union all
     select format('alter table %s %s trigger %I', t.sql,
                   case g.tgenabled::text when 'D' then 'disable' when 'R' then 'enable replica' else 'enable always' end,
                   g.tgname), 'trigger ' || g.tgname
       from t cross join g
      where g.tgenabled::text <> 'O'`,
    [oid],
  );
}

interface SequenceRow {
  oid: number;
  name: string;
  schema: string;
  sql: string;
  owned_by: string | null;
  owner: string;
}

const SEQUENCE_SQL = `
  select c.oid, n.nspname || '.' || c.relname as name, n.nspname as schema, pg_get_userbyid(c.relowner) as owner,
         format('create sequence %I.%I as %s increment %s minvalue %s maxvalue %s start %s cache %s%s', n.nspname, c.relname,
                format_type(s.seqtypid, null), s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache,
                case when s.seqcycle then ' cycle' else '' end) as sql,
         (select format('alter sequence %I.%I owned by %I.%I.%I', n.nspname, c.relname, tn.nspname, t.relname, a.attname)
            from pg_depend d
            join pg_class t on t.oid = d.refobjid
            join pg_namespace tn on tn.oid = t.relnamespace
            join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
           where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
             and d.deptype = 'a' and t.relkind = 'r') as owned_by
    from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace`;

/** Those that a table's defaults use, or that its columns own; not those of identity columns, which come with them. */
async function readSequences(tx: Queryable, oid: number): Promise<SequenceDefinition[]> {
  const rows = await tx.query<SequenceRow & { is_own: boolean }>(
    `select q.* from (${SEQUENCE_SQL}
      where c.oid in (
        select d.refobjid from pg_depend d join pg_attrdef f on f.oid = d.objid
         where d.classid = 'pg_attrdef'::regclass and f.adrelid = $1 and d.refclassid = 'pg_class'::regclass
        union
        select d.objid from pg_depend d
         where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = $1
           and d.deptype = 'a')) q order by q.name`,
    [oid],
  );
  const found: SequenceDefinition[] = [];
  for (const row of rows) found.push(await sequenceDefinition(tx, row));
  return found;
}

async function sequenceDefinition(tx: Queryable, row: SequenceRow): Promise<SequenceDefinition> {
  return {
    name: row.name,
    schema: row.schema,
    create: { sql: row.sql, what: `sequence ${row.name}` },
    ownedBy: row.owned_by === null ? null : { sql: row.owned_by, what: `owner of sequence ${row.name}` },
    comments: await readComments(tx, "sequence", row.name),
    grants: await readGrants(tx, "sequence", row.name),
    owner: row.owner,
  };
}

type Granted = "schema" | "table" | "sequence";

/** @param name a schema's name, or a full name */
async function readComments(tx: Queryable, kind: Granted, name: string): Promise<Step[]> {
  const sql = kind === "schema" ? "quote_ident($1)" : "format('%I.%I', $1::text, $2::text)";
  const where = kind === "schema"
    ? "from pg_namespace o where o.nspname = $1 and obj_description(o.oid, 'pg_namespace') is not null"
    : "from pg_class o join pg_namespace n on n.oid = o.relnamespace where n.nspname = $1 and o.relname = $2";
  const catalogue = kind === "schema" ? "pg_namespace" : "pg_class";
  const rows = await tx.query<{ sql: string }>(
    `select q.sql from (select format('comment on ${kind} %s is %L', ${sql}, obj_description(o.oid, '${catalogue}')) as sql,
                               obj_description(o.oid, '${catalogue}') as comment ${where}) q where q.comment is not null`,
    kind === "schema" ? [name] : Object.values(splitName(name)),
  );
  return rows.map((row) => ({ sql: row.sql, what: `comment of ${kind} ${name}` }));
}

/** What others than the owner were granted; of a table, on single columns too. */
async function readGrants(tx: Queryable, kind: Granted, name: string): Promise<Grant[]> {
  const object = kind === "schema"
    ? "select o.nspacl as acl, o.nspowner as owner, quote_ident(o.nspname) as sql, null as columns from pg_namespace o where o.nspname = $1"
    : `select o.relacl as acl, o.relowner as owner, format('%I.%I', n.nspname, o.relname) as sql, null as columns
         from pg_class o join pg_namespace n on n.oid = o.relnamespace where n.nspname = $1 and o.relname = $2
        union all
       select a.attacl, o.relowner, format('%I.%I', n.nspname, o.relname), format(' (%I)', a.attname)
         from pg_class o join pg_namespace n on n.oid = o.relnamespace join pg_attribute a on a.attrelid = o.oid
        where n.nspname = $1 and o.relname = $2 and a.attacl is not null and not a.attisdropped`;
  return await tx.query<{ sql: string; what: string; role: string | null }>(
    `select format('grant %s on ${kind} %s to %s%s',
                   string_agg(g.privilege_type || coalesce(o.columns, ''), ', ' order by g.privilege_type), o.sql,
                   case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
                   case when g.is_grantable then ' with grant option' else '' end) as sql,
            'grants to ' || case when g.grantee = 0 then 'public' else pg_get_userbyid(g.grantee)::text end as what,
            case when g.grantee <> 0 then pg_get_userbyid(g.grantee)::text end as role
       from (${object}) o cross join lateral aclexplode(o.acl) g
      where g.grantee <> o.owner
      group by o.sql, g.grantee, g.is_grantable, o.columns order by g.grantee, g.is_grantable, o.columns`,
    kind === "schema" ? [name] : Object.values(splitName(name)),
  );
}

interface TypeRow {
  /** As text, as in `needs`. */
  oid: string;
  owner: string;
  name: string;
  schema: string;
  kind: string;
  row_kind: string | null;
  extension: string | null;
  sql: string | null;
  canonical: boolean;
  needs: string[];
}

/** What a type `t` is made of. */
const NEEDED_TYPES = `
  select t.typelem as oid where t.typelem <> 0 and t.typlen = -1
  union all select t.typbasetype where t.typtype = 'd'
  union all select a.atttypid from pg_attribute a
             where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  union all select r.rngsubtype from pg_range r where r.rngtypid = t.oid
  union all select d.refobjid from pg_depend d -- a multirange's range
             where t.typtype = 'm' and d.classid = 'pg_type'::regclass and d.objid = t.oid
               and d.refclassid = 'pg_type'::regclass and d.deptype = 'i'`;

/** Every type that is not the server's own and that the columns are made of, each after those that it needs. */
async function readTypes(tx: Queryable, table: number): Promise<TypeDefinition[]> {
  const rows = await tx.query<TypeRow>(
    `with recursive used (oid) as (
         select a.atttypid from pg_attribute a where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
         union
         select x.oid from used join pg_type t on t.oid = used.oid cross join lateral (${NEEDED_TYPES}) x
     )
     select t.oid::text as oid, format('%I.%I', n.nspname, t.typname) as name, n.nspname as schema, t.typtype::text as kind,
            pg_get_userbyid(t.typowner) as owner,
            c.relkind::text as row_kind, coalesce(r.rngcanonical::oid <> 0, false) as canonical,
            (select e.extname from pg_depend d join pg_extension e on e.oid = d.refobjid
              where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e') as extension,
            array(select x.oid::text from (${NEEDED_TYPES}) x) as needs,
            case t.typtype::text
            when 'e' then format('create type %I.%I as enum (%s)', n.nspname, t.typname,
                (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum e
                  where e.enumtypid = t.oid))
            when 'c' then format('create type %I.%I as (%s)', n.nspname, t.typname,
                (select string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                                          case when a.attcollation <> at.typcollation then
                                               format(' collate %I.%I', ln.nspname, l.collname) else '' end),
                                   ', ' order by a.attnum)
                   from pg_attribute a join pg_type at on at.oid = a.atttypid
                   left join pg_collation l on l.oid = a.attcollation left join pg_namespace ln on ln.oid = l.collnamespace
                  where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped))
            when 'd' then format('create domain %I.%I as %s%s%s%s%s', n.nspname, t.typname,
                format_type(t.typbasetype, t.typtypmod),
                (select format(' collate %I.%I', ln.nspname, l.collname) from pg_collation l
                   join pg_namespace ln on ln.oid = l.collnamespace join pg_type b on b.oid = t.typbasetype
                  where l.oid = t.typcollation and t.typcollation <> b.typcollation),
                ' default ' || t.typdefault, case when t.typnotnull then ' not null' end,
                (select string_agg(format(' constraint %I %s', k.conname, pg_get_constraintdef(k.oid)), '' order by k.conname)
                   from pg_constraint k where k.contypid = t.oid and k.contype = 'c' and k.convalidated))
            when 'r' then format('create type %I.%I as range (subtype = %s%s%s%s)', n.nspname, t.typname,
                format_type(r.rngsubtype, null),
                (select format(', subtype_opclass = %I.%I', pn.nspname, p.opcname) from pg_opclass p
                   join pg_namespace pn on pn.oid = p.opcnamespace where p.oid = r.rngsubopc and not p.opcdefault),
                (select format(', collation = %I.%I', ln.nspname, l.collname) from pg_collation l
                   join pg_namespace ln on ln.oid = l.collnamespace join pg_type b on b.oid = r.rngsubtype
                  where l.oid = r.rngcollation and l.oid <> b.typcollation),
                (select format(', subtype_diff = %I.%I', pn.nspname, p.proname) from pg_proc p
                   join pg_namespace pn on pn.oid = p.pronamespace
                  where p.oid = r.rngsubdiff)) end as sql
       from used
       join pg_type t on t.oid = used.oid
       join pg_namespace n on n.oid = t.typnamespace
       left join pg_class c on c.oid = t.typrelid
       left join pg_range r on r.rngtypid = t.oid`,
    [table],
  );
  const byOid = new Map(rows.map((row) => [row.oid, row]));
  const sorted: TypeDefinition[] = [];
  const visited = new Set<string>();
  const visit = (row: TypeRow) => {
    if (visited.has(row.oid)) return;
    visited.add(row.oid);
    for (const need of row.needs) visit(byOid.get(need)!);
    // The server's own, and those that come with others: arrays and multiranges.
    if (Number(row.oid) < FIRST_USER_OID || row.kind === "m" || (row.kind === "b" && row.needs.length > 0)) return;
    sorted.push({
      name: row.name,
      schema: row.schema,
      create: row.sql === null ? null : { sql: row.sql, what: `type ${row.name}` },
      owner: row.owner,
      problem: whyNotMade(row),
    });
  };
  rows.forEach(visit);
  return sorted;
}

/** FirstNormalObjectId of the server's sources. */
const FIRST_USER_OID = 16384;

function whyNotMade(row: TypeRow): string | null {
  if (row.extension !== null) return `it comes with extension "${row.extension}": CREATE EXTENSION "${row.extension}";`;
  if (row.row_kind !== null && row.row_kind !== "c") return "it is the row type of another table";
  if (row.canonical) return "its range has a canonical function";
  return row.sql === null ? "it is a base type, made of functions" : null;
}
