create or replace function pgq._trigger_expressions(i_args text[], i_fields text[], i_row anyelement) returns text[]
language plpgsql stable as $$
-- Evaluates the arguments ev_type=, ev_data=, ev_extra1= ... ev_extra4= and when= of a trigger for one row, in one
-- read-only statement, with the rights and the search_path of whoever writes the table.
-- i_args:    TG_ARGV; i_fields: ev_type, ev_data, ev_extra1 ... ev_extra4 as they are so far
-- Returns:   the fields, those with an argument replaced; null when when= says no
-- Errors:    when= is null or not boolean; whatever the expressions raise
-- Called by: pgq.logutriga, pgq.sqltriga, pgq.jsontriga
declare
    v_names text[];
    v_arg text;
    v_field_names text[] := '{ev_type,ev_data,ev_extra1,ev_extra2,ev_extra3,ev_extra4,when}';
    v_expressions text[];       -- as v_field_names
    v_position integer;
    v_list text := '';
    v_results text[];
begin
    v_names := array(select a.attname::text from pg_catalog.pg_type t
                       join pg_catalog.pg_attribute a on a.attrelid = t.typrelid
                      where t.oid = pg_typeof(i_row) and a.attnum > 0 and not a.attisdropped);
    for v_index in 1 .. array_upper(i_args, 1) loop
        v_arg := i_args[v_index];
        v_position := array_position(v_field_names, split_part(v_arg, '=', 1));
        -- of a repeated argument the first counts
        if v_position is not null and v_expressions[v_position] is null then
            -- The originals run each as a statement: it may end with a semicolon, and without a column it gives NULL.
            v_arg := rtrim(substr(v_arg, strpos(v_arg, '=') + 1), e' \t\n\r\f;');
            v_expressions[v_position] := case v_arg when '' then 'null'
                                         else pgq._trigger_expression(v_arg, v_names) end;
        end if;
    end loop;

    -- One result each; %s of a value is its type's output text, which a cast to text is not always. The expression stands
    -- alone in its select, for it may bring a FROM of its own; offset 0 keeps it from being evaluated twice.
    for v_index in 1 .. 7 loop
        v_list := v_list || case v_index when 1 then '' else ', ' end || case
            when v_expressions[v_index] is null then 'null'
            else '(select ' || case v_index
                     when 7 then 'concat(pg_catalog.pg_typeof(e.v)::pg_catalog.oid, '':'', e.v)'
                     else 'case when num_nulls(e.v) = 0 then format(''%s'', e.v) end' end
                 || ' from (select i.v from (select ' || v_expressions[v_index] || e'\n) i (v) offset 0) e)'
            end;
    end loop;
    execute 'select array[' || v_list || ']::text[]' into v_results using i_row;

    for v_index in 1 .. 6 loop
        if v_expressions[v_index] is not null then
            i_fields[v_index] := v_results[v_index];
        end if;
    end loop;
    if v_expressions[7] is not null then
        if v_results[7] is null or v_results[7] = '16:' then
            raise exception 'when= should not be NULL';
        elsif split_part(v_results[7], ':', 1) <> '16' then
            raise exception 'when= query result must be boolean, got=%', split_part(v_results[7], ':', 1);
        elsif v_results[7] = '16:f' then
            return null;
        end if;
    end if;
    return i_fields;
end;
$$;
