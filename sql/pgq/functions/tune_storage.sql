create or replace function pgq.tune_storage(i_queue_name text) returns integer
language plpgsql strict as $$
-- Event tables are only appended to and truncated: no room for updates, nothing for autovacuum to do.
-- Returns:   1, or 0 for an unknown queue
declare
    v_queue pgq.queue;
begin
    select q.* into v_queue from pgq.queue q where q.queue_name = i_queue_name;
    if not found then
        return 0;
    end if;
    for v_index in 0 .. v_queue.queue_ntables - 1 loop
        execute format('alter table %s set (fillfactor = 100, autovacuum_enabled = off,'
                       ' toast.autovacuum_enabled = off)',
                       pgq.quote_fqname(v_queue.queue_data_pfx || '_' || v_index));
    end loop;
    return 1;
end;
$$;
