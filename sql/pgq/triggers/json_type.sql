create or replace function pgq._json_type(i_op text, i_schema text, i_table text, i_key_names text[]) returns text
language plpgsql stable parallel safe as $$
-- Writes the ev_type of pgq.jsontriga.
-- Returns:   {"op":"INSERT","table":["schema","table"],"pkey":["a","b"]}
-- Called by: pgq._trigger_events
begin
    return '{"op":"' || i_op || '","table":[' || to_json(i_schema) || ',' || to_json(i_table)
        || '],"pkey":' || to_json(coalesce(i_key_names, '{}')) || '}';
end;
$$;
