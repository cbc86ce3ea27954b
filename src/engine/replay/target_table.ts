import { SkyqError } from "../../base/errors.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName, quoteIdent, splitName } from "../../db/quote.ts";

/** One column of a subscriber's table. */
export interface TargetColumn {
  readonly name: string;
  /** The type for a cast, schema-qualified, without its modifier: `"pg_catalog"."int4"`. A modifier in an explicit cast cuts
   * values off silently; on assignment the server checks them. */
  readonly castType: string;
  /** Bytes of the text form tell equal values from unequal ones, whatever the writer's session settings are. */
  readonly isCanonicalText: boolean;
  /** A cast from text that somebody wrote may differ from the type's input function. */
  readonly hasOwnTextCast: boolean;
  /** GENERATED ALWAYS AS (…) STORED: computed here, never written. */
  readonly isGenerated: boolean;
  /** GENERATED ALWAYS AS IDENTITY: an insert may override it, an update may not set it. */
  readonly isFixed: boolean;
}

export interface TargetTable {
  /** `schema.name`. */
  readonly name: string;
  /** Another one stands for another table, or other columns. */
  readonly fingerprint: string;
  /** Quoted, with `only` where children must not be touched. */
  readonly onlySql: string;
  readonly sql: string;
  readonly columns: ReadonlyMap<string, TargetColumn>;
}

/**
 * Types whose text is the same for equal values and different for unequal ones, in every session: an event's key bytes
 * can then stand for the key. Not among them: numeric without a scale (1.0 = 1.00), floats (0 = -0), timestamps and
 * intervals (DateStyle, TimeZone), bytea (bytea_output), citext and whatever an extension brings.
 */
const CANONICAL_TYPES = ["int2", "int4", "int8", "oid", "bool", "uuid", "text", "varchar", "bpchar", "name", "char"];

/** What of a table `c` a plan depends on, as text. */
const FINGERPRINT = `c.oid::text || ' ' || c.relkind::text || (
  select pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', f.attnum, f.attname, f.atttypid, f.atttypmod,
                                                                   f.attcollation, f.attgenerated, f.attidentity), ','
                                              order by f.attnum))
    from pg_catalog.pg_attribute f where f.attrelid = c.oid and f.attnum > 0 and not f.attisdropped)`;

/** Fingerprints of tables by full name; those that do not exist are absent. */
export async function fingerprints(db: Queryable, fullNames: readonly string[]): Promise<Map<string, string>> {
  const names = fullNames.map(splitName);
  const rows = await db.query<{ nth: bigint; fingerprint: string }>(
    `select u.nth, ${FINGERPRINT} as fingerprint
       from unnest($1::text[], $2::text[]) with ordinality u (schema, name, nth)
       join pg_catalog.pg_namespace n on n.nspname = u.schema
       join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = u.name and c.relkind in ('r', 'p')`,
    [names.map(({ schema }) => schema), names.map(({ name }) => name)],
  );
  return new Map(rows.map(({ nth, fingerprint }) => [fullNames[Number(nth) - 1]!, fingerprint]));
}

/** Reads the structure of a subscriber's table. @throws {SkyqError} `structure` when there is no such table */
export async function readTargetTable(db: Queryable, fullName: string): Promise<TargetTable> {
  const { schema, name } = splitName(fullName);
  const rows = await db.query<{
    relkind: string;
    fingerprint: string;
    column_name: string;
    cast_schema: string;
    cast_name: string;
    is_canonical: boolean;
    has_own_cast: boolean;
    is_generated: boolean;
    is_fixed: boolean;
  }>(
    `select c.relkind::text as relkind, ${FINGERPRINT} as fingerprint, a.attname as column_name, tn.nspname as cast_schema, t.typname as cast_name,
              coalesce((bt.typname = any ($3) and bt.typnamespace = 'pg_catalog'::regnamespace
                        and coalesce(l.collisdeterministic, true))
                       or (bt.typtype = 'e')
                       or (bt.oid = 'pg_catalog.numeric'::regtype and t.oid = bt.oid and a.atttypmod >= 4), false) as is_canonical,
              exists (select 1 from pg_catalog.pg_cast pc
                       where pc.castsource = 'pg_catalog.text'::regtype and pc.casttarget = t.oid
                         and pc.castmethod = 'f' and pc.oid >= 16384) as has_own_cast,
              a.attgenerated <> '' as is_generated, a.attidentity = 'a' as is_fixed
         from pg_catalog.pg_class c
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         join pg_catalog.pg_type t on t.oid = a.atttypid
         join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
         join pg_catalog.pg_type bt on bt.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
         left join pg_catalog.pg_collation l on l.oid = a.attcollation
        where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
        order by a.attnum`,
    [schema, name, CANONICAL_TYPES],
  );
  if (rows[0] === undefined) {
    throw new SkyqError("structure", `Cannot apply events of table "${fullName}": no such table on the subscriber`, {
      hint: "Create it, or take it out with `skyq subscriber remove`.",
    });
  }
  const sql = quoteFullName(fullName);
  return {
    name: fullName,
    fingerprint: rows[0].fingerprint,
    sql,
    onlySql: rows[0].relkind === "p" ? sql : `only ${sql}`,
    columns: new Map(rows.map((row) => [row.column_name, {
      name: row.column_name,
      castType: `${quoteIdent(row.cast_schema)}.${quoteIdent(row.cast_name)}`,
      isCanonicalText: row.is_canonical,
      hasOwnTextCast: row.has_own_cast,
      isGenerated: row.is_generated,
      isFixed: row.is_fixed,
    }])),
  };
}
