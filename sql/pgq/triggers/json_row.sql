create or replace function pgq._json_row(i_names text[], i_types oid[], i_values text[], i_json json) returns text
language plpgsql stable as $$
-- Joins columns into a JSON object without blanks: integers and booleans as such, dates and times in ISO form, all
-- else as strings of the type's own text.
-- i_json:    the same row by row_to_json(), needed where DateStyle is not ISO, else null
-- Returns:   the object's text, {} for no columns
-- Called by: pgq._trigger_events
declare
    v_value text;
    v_data text := '';
begin
    for v_index in 1 .. cardinality(i_names) loop
        v_value := i_values[v_index];
        if v_value is null then
            v_value := 'null';
        elsif i_types[v_index] in (20, 21, 23) then             -- int8 int2 int4
            null;
        elsif i_types[v_index] = 16 then                        -- bool
            v_value := case v_value when 't' then 'true' else 'false' end;
        elsif i_types[v_index] in (1082, 1114, 1184) then       -- date timestamp timestamptz
            if i_json is not null then
                v_value := i_json ->> i_names[v_index];
            elsif i_types[v_index] <> 1082 then
                v_value := regexp_replace(v_value, ' (?=[0-9])', 'T');
                if i_types[v_index] = 1184 then
                    v_value := regexp_replace(v_value, '([-+][0-9][0-9])( BC)?$', e'\\1:00\\2');
                end if;
            end if;
            v_value := to_json(v_value);
        else
            v_value := to_json(v_value);
        end if;
        v_data := v_data || case v_index when 1 then '' else ',' end || to_json(i_names[v_index]) || ':' || v_value;
    end loop;
    return '{' || v_data || '}';
end;
$$;
