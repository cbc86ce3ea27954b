create or replace function skyq._key_refusal(i_op text, i_table text, i_keys text[], i_columns text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- Writes the statement that refuses an update or delete of a row which no consumer could find again. i_op and i_table
-- are the expressions for the operation and the table's name there.
-- Returns:   null when every key column is one of the table's
select case
    when i_keys = '{}' then 'raise exception ''Update/Delete on table without pkey'';'
    else (select format('raise exception ''Cannot log %% on table "%%": pkey= names column "%%", which the table does not have'','
                        || ' %s, %s, %L;', i_op, i_table, k.name)
            from unnest(i_keys) with ordinality k (name, nr) where k.name <> all (i_columns) order by k.nr limit 1)
end
$$;
