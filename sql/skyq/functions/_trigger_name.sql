create or replace function skyq._trigger_name(i_queue_name text, i_suffix text default '') returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
-- The name of a capture trigger: _londiste_QUEUE and what comes after. A name holds 63 bytes; a longer one keeps the
-- suffix and tells queues apart by a hash.
declare
    v_name text := '_londiste_' || i_queue_name;
    v_hash text := '_' || substr(md5(i_queue_name), 1, 8);
begin
    if octet_length(v_name || i_suffix) <= 63 then
        return v_name || i_suffix;
    end if;
    while octet_length(v_name || v_hash || i_suffix) > 63 loop
        v_name := left(v_name, -1);
    end loop;
    return v_name || v_hash || i_suffix;
end;
$$;
