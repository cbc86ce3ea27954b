create or replace function pgq_node.get_worker_state(
    in i_queue_name text,
    out ret_code integer, out ret_note text, out node_type text, out node_name text, out completed_tick bigint,
    out provider_node text, out provider_location text, out paused boolean, out uptodate boolean, out cur_error text,
    out worker_name text, out global_watermark bigint, out local_watermark bigint, out local_queue_top bigint,
    out combined_queue text, out combined_type text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- State of the node's worker, with the watermarks it has to pass on.
-- Returns:   100 and the rest; 404 unknown queue or consumer
begin
    select n.node_type, n.node_name, n.worker_name, n.combined_queue
      into node_type, node_name, worker_name, combined_queue
      from pgq_node.node_info n where n.queue_name = i_queue_name;
    if not found then
        ret_code := 404;
        ret_note := 'Unknown queue: ' || i_queue_name;
        return;
    end if;
    select s.last_tick_id, s.provider_node, l.node_location, s.paused, s.uptodate, s.cur_error
      into completed_tick, provider_node, provider_location, paused, uptodate, cur_error
      from pgq_node.local_state s
      left join pgq_node.node_location l on l.queue_name = s.queue_name and l.node_name = s.provider_node
     where s.queue_name = i_queue_name and s.consumer_name = worker_name;
    if not found then
        ret_code := 404;
        ret_note := 'Unknown consumer: ' || i_queue_name || '/' || worker_name;
        return;
    end if;

    if node_type = 'leaf' then
        local_watermark := completed_tick;
    else
        global_watermark := (select c.last_tick from pgq.get_consumer_info(i_queue_name, '.global_watermark') c);
        local_watermark := pgq_node._local_watermark(i_queue_name);
        local_queue_top := (select i.last_tick_id from pgq.get_queue_info(i_queue_name) i);
    end if;
    combined_type := pgq_node._node_type(combined_queue);
    ret_code := 100;
    ret_note := 'Ok';
end;
$$;
