create or replace function pgq.seq_setval(i_seq_name text, i_new_value bigint) returns bigint
language plpgsql strict as $$
-- Moves a sequence forward, never back.
-- Returns:   its value afterwards
declare
    v_value bigint := pgq.seq_getval(i_seq_name);
begin
    if v_value < i_new_value then
        perform setval(pgq.quote_fqname(i_seq_name)::regclass, i_new_value);
        return i_new_value;
    end if;
    return v_value;
end;
$$;
