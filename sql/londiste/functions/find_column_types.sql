create or replace function londiste.find_column_types(tbl text) returns text
language sql stable strict set search_path = pg_catalog, pg_temp as $$
-- One letter per column in table order: k for a member of the primary key, v for any other.
-- Returns:   null when there is no such table
select string_agg(case when a.attnum = any (i.indkey::int2[]) then 'k' else 'v' end, '' order by a.attnum)
  from pg_attribute a
  left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
 where a.attrelid = londiste.find_table_oid(tbl) and a.attnum > 0 and not a.attisdropped
$$;
