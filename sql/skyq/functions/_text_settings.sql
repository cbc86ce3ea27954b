create or replace function skyq._text_settings(i_table oid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The SET clauses that a capture function of this table needs, so that an event shows a value in one way whatever the
-- writing session has set: another DateStyle makes another day of 02/03/2026, a low extra_float_digits loses digits.
-- What reads back alike everywhere (time zones, bytea_output) is left to the session. Tables without such types get
-- none, as each clause costs a little with every call.
-- Returns:   for example ` set datestyle = 'ISO, MDY' set intervalstyle = 'postgres'`, or ''
with recursive part (type_oid) as (
    select a.atttypid from pg_attribute a where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped
    union
    select n.type_oid
      from part p
      join pg_type t on t.oid = p.type_oid
      cross join lateral (
        select t.typbasetype where t.typtype = 'd'
         union all select t.typelem where t.typelem <> 0
         union all select r.rngsubtype from pg_range r where r.rngtypid = t.oid
         union all select r.rngtypid from pg_range r where to_jsonb(r) ->> 'rngmultitypid' = t.oid::text
         union all select a.atttypid from pg_attribute a
                    where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
      ) n (type_oid)
)
select coalesce(string_agg(s.clause, '' order by s.nr), '')
  from (values
    (1, array['date', 'timestamp', 'timestamptz'], ' set datestyle = ''ISO, MDY'''),
    (2, array['interval'], ' set intervalstyle = ''postgres'''),
    (3, array['float4', 'float8', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle'],
        ' set extra_float_digits = 1'),
    (4, array['money'], ' set lc_monetary = ''C''')) s (nr, types, clause)
 where exists (select from part p join pg_type t on t.oid = p.type_oid
                where t.typnamespace = 'pg_catalog'::regnamespace and t.typname = any (s.types))
$$;
