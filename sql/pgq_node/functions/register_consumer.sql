create or replace function pgq_node.register_consumer(
    in i_queue_name text, in i_consumer_name text, in i_provider_node text, in i_custom_tick_id bigint,
    out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- On the target: adds a cascaded consumer at a tick, or moves one.
-- Returns:   200; 201 it was there; 404 unknown queue
begin
    if pgq_node._node_type(i_queue_name) is null then
        ret_code := 404;
        ret_note := 'Unknown queue: ' || i_queue_name;
        return;
    end if;
    update pgq_node.local_state s
       set provider_node = i_provider_node, last_tick_id = i_custom_tick_id
     where s.queue_name = i_queue_name and s.consumer_name = i_consumer_name;
    if found then
        ret_code := 201;
        ret_note := 'Consumer already registered: ' || i_queue_name || '/' || i_consumer_name;
        return;
    end if;
    insert into pgq_node.local_state (queue_name, consumer_name, provider_node, last_tick_id)
    values (i_queue_name, i_consumer_name, i_provider_node, i_custom_tick_id);
    ret_code := 200;
    ret_note := 'Consumer ' || i_consumer_name || ' registered on queue ' || i_queue_name;
end;
$$;
