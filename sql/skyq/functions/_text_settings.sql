do $$
-- 0.1.0 had one that returned a text: a function of the same arguments cannot be replaced by one that returns another type.
begin
    if exists (select from pg_catalog.pg_proc p
                where p.oid = pg_catalog.to_regprocedure('skyq._text_settings(oid)') and not p.proretset) then
        drop function skyq._text_settings(oid);
    end if;
end;
$$;

create or replace function skyq._text_settings(i_table oid, out name text, out value text, out probe text, out shown text)
returns setof record
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The settings under which the columns of a table are logged, so that an event shows a value in one way whatever the
-- writing session has set: another DateStyle makes another day of 02/03/2026, a low extra_float_digits loses digits.
-- What reads back alike everywhere (time zones, bytea_output) is left to the session.
-- Returns:   probe, shown  an expression, and its text where the session's own setting is as good as this value
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
select s.name, s.value, s.probe, s.shown
  from (values
    (array['date', 'timestamp', 'timestamptz'], 'DateStyle', 'ISO, MDY', 'pg_catalog.date ''2000-02-01''', '2000-02-01'),
    (array['interval'], 'IntervalStyle', 'postgres', 'pg_catalog.interval ''1 year 2 days''', '1 year 2 days'),
    (array['float4', 'float8', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle'],
        'extra_float_digits', '1', 'pg_catalog.float8 ''0.3333333333333333''', '0.3333333333333333'),
    (array['money'], 'lc_monetary', 'C', 'pg_catalog.current_setting(''lc_monetary'')', 'C'))
       s (types, name, value, probe, shown)
 where exists (select from part p join pg_type t on t.oid = p.type_oid
                where t.typnamespace = 'pg_catalog'::regnamespace and t.typname = any (s.types))
$$;

create or replace function skyq._context(i_table oid, i_is_easy boolean, out expression text, out shown text)
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the text that tells that the trigger's table is this one and that its values show under the session's settings
-- as under those of skyq._text_settings(); with i_is_easy also all else that skyq._easy_row_expression() takes for
-- granted, that the session is one whose changes are logged, and what operation it was. One text, as each function costs
-- something; no other context makes the same one, as all of its parts but the last two are words of a few.
-- Returns:   expression; shown, what it must be, but for the operation, which comes last
select format('pg_catalog.concat(%s)', string_agg(p.probe, ', ' order by p.nr, p.probe)),
       string_agg(p.shown, '' order by p.nr, p.probe)
  from (select 5, 'TG_RELID', i_table::text
        union all
        select 6, ''' '', TG_OP', ' ' where i_is_easy
        union all
        select 1, s.probe, s.shown from skyq._text_settings(i_table) s
        union all
        select 2, 'pg_catalog.current_setting(''session_replication_role'')', 'origin' where i_is_easy
        union all
        select 3, 'pg_catalog.current_setting(''bytea_output'')', 'hex'
         where i_is_easy and exists (select from skyq._row_columns(i_table, '{}') c where c.kind = 'bytes')) p (nr, probe, shown)
$$;
