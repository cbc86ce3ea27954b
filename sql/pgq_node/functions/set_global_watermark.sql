create or replace function pgq_node.set_global_watermark(
    in i_queue_name text, in i_watermark bigint, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Moves the mark before which no node needs anything. The root takes its local watermark when i_watermark is null, and
-- tells the others; they call this with what it said.
-- Returns:   200, also when a branch does not have the tick; 100 on a leaf; 404; 500 null on a branch
declare
    v_node record;
    v_watermark bigint := i_watermark;
begin
    select n.node_type, n.worker_name, q.queue_id
      into v_node
      from pgq_node.node_info n
      left join pgq.queue q on q.queue_name = n.queue_name
     where n.queue_name = i_queue_name;
    if not found then
        ret_code := 404;
        ret_note := 'Queue' || i_queue_name || ' not found';
        return;
    end if;
    if v_node.node_type = 'leaf' then
        ret_code := 100;
        ret_note := 'Ignoring global watermark in leaf';
        return;
    end if;

    if v_node.node_type = 'root' then
        v_watermark := coalesce(v_watermark, pgq_node._local_watermark(i_queue_name));
    else
        if v_watermark is null then
            ret_code := 500;
            ret_note := 'bad usage: wm=null on branch node';
            return;
        end if;
        -- The event may be ahead of the tick, which is made after the batch with the event.
        perform 1 from pgq.tick t where t.tick_queue = v_node.queue_id and t.tick_id = v_watermark;
        if not found then
            ret_code := 200;
            ret_note := 'Skipping global watermark update to ' || v_watermark;
            return;
        end if;
    end if;

    perform pgq.register_consumer_at(i_queue_name, '.global_watermark', v_watermark);
    if v_node.node_type = 'root' then
        perform pgq.insert_event(i_queue_name, 'pgq.global-watermark', v_watermark::text,
                                 i_queue_name, null, null, null);
        update pgq_node.local_state s
           set last_tick_id = v_watermark
         where s.queue_name = i_queue_name and s.consumer_name = v_node.worker_name;
    end if;
    ret_code := 200;
    ret_note := 'Global watermark set to ' || v_watermark;
end;
$$;
