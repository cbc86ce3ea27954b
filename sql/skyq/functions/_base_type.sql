create or replace function skyq._base_type(i_type oid) returns oid
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The type below a domain, or below a domain over a domain; any other type is its own.
with recursive step as (
    select t.oid, t.typtype, t.typbasetype from pg_type t where t.oid = i_type
    union all
    select t.oid, t.typtype, t.typbasetype from step s join pg_type t on t.oid = s.typbasetype where s.typtype = 'd'
)
select s.oid from step s where s.typtype <> 'd'
$$;
