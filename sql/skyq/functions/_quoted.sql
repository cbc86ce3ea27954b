create or replace function skyq._quoted(i_name text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- Quotes a column name, needed or not: after "NEW." words such as "by", which SQL takes bare, are keywords of PL/pgSQL.
select '"' || replace(i_name, '"', '""') || '"'
$$;
