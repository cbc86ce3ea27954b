create or replace function skyq._key_columns(i_table oid) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Columns of a table's primary key in the order of its index.
-- Returns:   their names, '{}' without a primary key
select coalesce(array_agg(a.attname::text order by k.nr), '{}')
  from pg_index i
 cross join unnest(i.indkey::int2[]) with ordinality k (attnum, nr)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
 where i.indrelid = i_table and i.indisprimary and k.nr <= i.indnkeyatts
$$;
