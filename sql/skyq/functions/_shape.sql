create or replace function skyq._shape(i_table oid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- All about a table that a capture function depends on: name and type of each column, and the primary key.
select string_agg(format('%I %s', a.attname, a.atttypid), ', ' order by a.attnum)
       || ' key ' || array_to_string(skyq._key_columns(i_table), ', ')
  from pg_attribute a
 where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped
$$;
