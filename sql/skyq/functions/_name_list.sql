create or replace function skyq._name_list(i_list text) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- Splits a list of column names: commas separate, blanks around a name do not count.
select coalesce(array_agg(btrim(n.name) order by n.nr) filter (where btrim(n.name) <> ''), '{}')
  from regexp_split_to_table(i_list, ',') with ordinality n (name, nr)
$$;
