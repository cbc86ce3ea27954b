create or replace function pgq.seq_getval(i_seq_name text) returns bigint
language plpgsql strict as $$
-- Last value of a sequence. A sequence that was never used says 1.
declare
    v_value bigint;
begin
    execute 'select s.last_value from ' || pgq.quote_fqname(i_seq_name) || ' s' into v_value;
    return v_value;
end;
$$;
