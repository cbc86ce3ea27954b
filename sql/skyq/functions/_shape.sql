create or replace function skyq._has_no_nulls(i_column pg_attribute) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Whether every row has a value in a column: NOT NULL, and valid, which constraints may lack from PostgreSQL 18 on.
select i_column.attnotnull and i_column.attnum > 0 and not i_column.attisdropped
   and not exists (select from pg_constraint k
                    where k.conrelid = i_column.attrelid and k.contype = 'n' and not k.convalidated
                      and k.conkey = array[i_column.attnum])
$$;

create or replace function skyq._shape(i_table oid) returns text
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
-- What a capture function depends on to be right: name and type of each column, and the primary key.
select string_agg(format('%I %s', a.attname, a.atttypid), ', ' order by a.attnum)
       || ' key ' || array_to_string(skyq._key_columns(i_table), ', ')
  from pg_attribute a
 where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped
$$;

create or replace function skyq._full_shape(i_table oid) returns text
language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
-- All about a table that a capture function was written for: skyq._shape(), and which columns have no nulls.
select skyq._shape(i_table) || ' not null '
       || coalesce((select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
                      from pg_attribute a where a.attrelid = i_table and skyq._has_no_nulls(a)), 'none')
$$;
