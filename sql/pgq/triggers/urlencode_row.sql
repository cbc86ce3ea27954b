create or replace function pgq._urlencode_row(i_names text[], i_values text[]) returns text
language plpgsql immutable parallel safe as $$
-- Joins columns into event data: name=value&name=value, a NULL as its name alone.
-- Returns:   the text, empty for no columns; i_values may be longer than i_names, which decides
-- Called by: pgq._trigger_events
declare
    v_name text collate "C";
    v_value text collate "C";
    v_data text := '';
begin
    for v_index in 1 .. cardinality(i_names) loop
        v_name := i_names[v_index];
        v_value := i_values[v_index];
        v_data := v_data || case v_index when 1 then '' else '&' end
               || case when v_name ~ '[^-.0-9A-Z_a-z]' then pgq._urlencode(v_name) else v_name end
               || case when v_value is null then ''
                       when v_value ~ '[^-.0-9A-Z_a-z]' then '=' || pgq._urlencode(v_value)
                       else '=' || v_value end;
    end loop;
    return v_data;
end;
$$;
