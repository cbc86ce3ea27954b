create or replace function skyq._change_sql(i_table oid, i_op text, i_columns text[], i_args text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the query that makes the events of one changed row: $1 is the row after, $2 the row before. For a table that
-- was altered since its capture function was written: slow, but right with whatever columns the row has.
-- Returns:   a query with columns ev_type, ev_data, ev_extra2; one row per event, in order
-- Errors:    those of skyq._key_refusal()
-- Called by: generated capture functions
declare
    v_args record;
    v_columns text[];
    v_keys text[];
    v_key_list text;
    v_refusal text;
    v_is_moved text;
    v_is_silent text := 'false';
begin
    select a.* into v_args from skyq._capture_args(i_args) a;
    v_keys := case when v_args.o_pkey is null then skyq._key_columns(i_table) else skyq._name_list(v_args.o_pkey) end;
    v_key_list := coalesce(v_args.o_pkey, array_to_string(v_keys, ','));
    v_columns := array(select c from unnest(i_columns) c where c <> all (v_args.o_ignore));
    if i_op = 'INSERT' then
        return format('select %L as ev_type, %s as ev_data, null as ev_extra2',
                      'I:' || v_key_list, skyq._any_row_expression('$1', v_columns));
    end if;
    v_refusal := skyq._key_refusal(quote_literal(i_op), quote_literal(i_table::regclass), v_keys, i_columns);
    if v_refusal is not null then
        execute format('do %L', 'begin ' || v_refusal || ' end');
    end if;
    if i_op = 'DELETE' then
        return format('select %L as ev_type, %s as ev_data, null as ev_extra2',
                      'D:' || v_key_list, skyq._any_row_expression('$2', v_columns));
    end if;

    v_keys := array(select c from unnest(i_columns) c where c = any (v_keys));
    v_is_moved := skyq._any_change_expression(v_keys);
    if v_args.o_ignore <> '{}' then
        v_is_silent := format('(%s and not %s)',
            skyq._any_change_expression(array(select c from unnest(i_columns) c where c = any (v_args.o_ignore))),
            skyq._any_change_expression(v_columns));
    end if;
    return format(
        'select %L as ev_type, %s as ev_data, %s as ev_extra2 where not %s and not %s '
        || 'union all select %L, %s, null where %s '
        || 'union all select %L, %s, null where %s',
        'U:' || v_key_list, skyq._any_row_expression('$1', v_columns),
        case when v_args.o_backup then skyq._any_row_expression('$2', v_columns) else 'null' end, v_is_moved, v_is_silent,
        'D:' || v_key_list, skyq._any_row_expression('$2', v_columns), v_is_moved,
        'I:' || v_key_list, skyq._any_row_expression('$1', v_columns), v_is_moved);
end;
$$;

create or replace function skyq._any_row_expression(i_row text, i_columns text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- As skyq._row_expression(), for columns of any type. It runs with the writer's search_path too.
select coalesce(string_agg(
           format('case when (%1$s).%2$I is not distinct from null then %3$L '
                  || 'else %4$L operator(pg_catalog.||) skyq._urlencode(pg_catalog.format(''%%s'', (%1$s).%2$I)) end',
                  i_row, c.name, skyq._urlencode(c.name), skyq._urlencode(c.name) || '='),
           ' operator(pg_catalog.||) ''&'' operator(pg_catalog.||) ' order by c.nr), '''''')
  from unnest(i_columns) with ordinality c (name, nr)
$$;

create or replace function skyq._any_change_expression(i_columns text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- As skyq._change_expression(), by text, for columns of any type.
select coalesce('(' || string_agg(
           format('(($1).%1$I is distinct from null) operator(pg_catalog.<>) (($2).%1$I is distinct from null) '
                  || 'or pg_catalog.format(''%%s'', ($1).%1$I) operator(pg_catalog.<>) pg_catalog.format(''%%s'', ($2).%1$I)',
                  c.name), ' or ') || ')', 'false')
  from unnest(i_columns) with ordinality c (name, nr)
$$;
