create or replace function pgq_node.set_consumer_completed(
    in i_queue_name text, in i_consumer_name text, in i_tick_id bigint, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Notes that a consumer has applied everything up to a tick. Runs in the transaction that applied it.
-- Returns:   100 · 404
begin
    update pgq_node.local_state s
       set last_tick_id = i_tick_id, cur_error = null
     where s.queue_name = i_queue_name and s.consumer_name = i_consumer_name;
    if found then
        ret_code := 100;
        ret_note := 'Consumer ' || i_consumer_name || ' completed tick = ' || i_tick_id;
    else
        ret_code := 404;
        ret_note := 'Consumer not known: ' || i_queue_name || '/' || i_consumer_name;
    end if;
end;
$$;
