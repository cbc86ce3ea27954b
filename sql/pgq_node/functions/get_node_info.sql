create or replace function pgq_node.get_node_info(
    in i_queue_name text,
    out ret_code integer, out ret_note text, out node_type text, out node_name text,
    out global_watermark bigint, out local_watermark bigint, out provider_node text, out provider_location text,
    out combined_queue text, out combined_type text, out worker_name text, out worker_paused boolean,
    out worker_uptodate boolean, out worker_last_tick bigint, out node_attrs text, out target_for text[])
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- What this node is, where it reads from and how far it got.
-- Returns:   100 and the rest; 404
begin
    select 100, 'Ok', n.node_type, n.node_name, n.combined_queue, c.node_type, n.worker_name, n.node_attrs,
           s.provider_node, l.node_location, s.paused, s.uptodate, s.last_tick_id
      into ret_code, ret_note, node_type, node_name, combined_queue, combined_type, worker_name, node_attrs,
           provider_node, provider_location, worker_paused, worker_uptodate, worker_last_tick
      from pgq_node.node_info n
      left join pgq_node.node_info c on c.queue_name = n.combined_queue
      left join pgq_node.local_state s on s.queue_name = n.queue_name and s.consumer_name = n.worker_name
      left join pgq_node.node_location l on l.queue_name = s.queue_name and l.node_name = s.provider_node
     where n.queue_name = i_queue_name;
    if not found then
        ret_code := 404;
        ret_note := 'Unknown queue: ' || i_queue_name;
        return;
    end if;

    if node_type = 'leaf' then
        local_watermark := worker_last_tick;
    else
        global_watermark := (select c.last_tick from pgq.get_consumer_info(i_queue_name, '.global_watermark') c);
        local_watermark := pgq_node._local_watermark(i_queue_name);
        target_for := (select array_agg(n.queue_name order by n.queue_name)
                         from pgq_node.node_info n where n.combined_queue = i_queue_name);
    end if;
    if node_type = 'root' then      -- its worker has nothing to catch up with
        worker_last_tick := (select i.last_tick_id from pgq.get_queue_info(i_queue_name) i);
    end if;
end;
$$;
