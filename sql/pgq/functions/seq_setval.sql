create or replace function pgq.seq_setval(i_seq_name text, i_new_value bigint) returns bigint
language plpgsql strict as $$
-- Moves a sequence forward in its own direction, never back and never beyond its bounds: they may be narrower here than
-- where the value comes from.
-- Returns:   its value afterwards
declare
    v_value bigint := pgq.seq_getval(i_seq_name);
    v_seq regclass := pgq.quote_fqname(i_seq_name)::regclass;
    v_wanted bigint;
    v_is_ascending boolean;
begin
    select least(q.seqmax, greatest(q.seqmin, i_new_value)), q.seqincrement > 0 into v_wanted, v_is_ascending
      from pg_catalog.pg_sequence q where q.seqrelid = v_seq;
    if v_wanted = v_value or (v_wanted > v_value) <> v_is_ascending then
        return v_value;
    end if;
    perform setval(v_seq, v_wanted);
    return v_wanted;
end;
$$;
