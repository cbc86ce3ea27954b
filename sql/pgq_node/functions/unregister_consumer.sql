create or replace function pgq_node.unregister_consumer(
    in i_queue_name text, in i_consumer_name text, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- On the target: forgets a cascaded consumer.
-- Returns:   200, also when it was not there; 404 unknown queue
begin
    if pgq_node._node_type(i_queue_name) is null then
        ret_code := 404;
        ret_note := 'Unknown queue: ' || i_queue_name;
        return;
    end if;
    delete from pgq_node.local_state s where s.queue_name = i_queue_name and s.consumer_name = i_consumer_name;
    ret_code := 200;
    ret_note := 'Consumer ' || i_consumer_name || ' unregistered from ' || i_queue_name;
end;
$$;
