create or replace function pgq._sql_row(
    i_op text, i_names text[], i_shown integer[], i_changed boolean[], i_key integer[], i_old text[], i_new text[])
returns text
language plpgsql immutable as $$
-- Writes a row change as the part of an SQL statement that follows the table's name.
-- i_shown:   positions of the columns that may appear as data; null: all
-- i_changed: per column, whether it changed (UPDATE)
-- i_key:     positions of the key columns
-- Returns:   INSERT: (a,b) values ('1',null); UPDATE: b='2',c=NULL where a='1'; DELETE: a='1'
-- Errors:    a key column is NULL (UPDATE, DELETE)
-- Called by: pgq._trigger_events
declare
    v_names text := '';
    v_values text := '';
    v_sets text := '';
    v_conditions text := '';
    v_comma text := '';
begin
    if i_op = 'INSERT' then
        for v_index in 1 .. cardinality(i_names) loop
            if i_shown is null or v_index = any (i_shown) then
                v_names := v_names || v_comma || quote_ident(i_names[v_index]);
                v_values := v_values || v_comma || coalesce(quote_literal(i_new[v_index]), 'null');
                v_comma := ',';
            end if;
        end loop;
        return '(' || v_names || ') values (' || v_values || ')';
    end if;

    for v_index in 1 .. cardinality(i_names) loop
        if v_index = any (i_key) then
            if i_old[v_index] is null then
                raise exception 'logtriga: Unexpected NULL key value'
                      using detail = format('Key column "%s".', i_names[v_index]);
            end if;
            v_conditions := v_conditions || case v_conditions when '' then '' else ' and ' end
                         || quote_ident(i_names[v_index]) || '=' || quote_literal(i_old[v_index]);
        end if;
        if i_op = 'UPDATE' and i_changed[v_index] and (i_shown is null or v_index = any (i_shown)) then
            v_sets := v_sets || v_comma || quote_ident(i_names[v_index]) || '='
                   || coalesce(quote_literal(i_new[v_index]), 'NULL');
            v_comma := ',';
        end if;
    end loop;
    if i_op = 'DELETE' then
        return v_conditions;
    elsif v_sets = '' then
        -- nothing to set, but an update happened: set the first key column to what it is
        select quote_ident(i_names[k.position]) || '=' || quote_literal(i_old[k.position]) into v_sets
          from unnest(i_key) k (position) order by k.position limit 1;
    end if;
    return v_sets || ' where ' || v_conditions;
end;
$$;
