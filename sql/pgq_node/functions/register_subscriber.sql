create or replace function pgq_node.register_subscriber(
    in i_queue_name text, in i_remote_node_name text, in i_remote_worker_name text, in i_custom_tick_id bigint,
    out ret_code integer, out ret_note text, out global_watermark bigint)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- On the provider: lets another node read from this one, its worker from i_custom_tick_id (null: the global watermark).
-- Returns:   200 and the global watermark; 404 unknown queue; 401 this is a leaf
declare
    v_watermark_name text := '.' || i_remote_node_name || '.watermark';
    v_type text := pgq_node._node_type(i_queue_name);
begin
    if v_type is null then
        ret_code := 404;
        ret_note := 'Unknown queue: ' || i_queue_name;
        return;
    end if;
    if v_type = 'leaf' then
        ret_code := 401;
        ret_note := 'Cannot subscribe to leaf node';
        return;
    end if;

    global_watermark := (select c.last_tick from pgq.get_consumer_info(i_queue_name, '.global_watermark') c);
    perform pgq.register_consumer_at(i_queue_name, v_watermark_name, global_watermark);
    perform pgq.register_consumer_at(i_queue_name, i_remote_worker_name, coalesce(i_custom_tick_id, global_watermark));
    insert into pgq_node.subscriber_info (queue_name, subscriber_node, worker_name, watermark_name)
    values (i_queue_name, i_remote_node_name, i_remote_worker_name, v_watermark_name);
    ret_code := 200;
    ret_note := 'Subscriber registered: ' || i_remote_node_name;
end;
$$;
