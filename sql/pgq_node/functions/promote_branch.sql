create or replace function pgq_node.promote_branch(
    in i_queue_name text, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Makes a branch the root: it takes writers and ticks by itself from now on.
-- Returns:   200; 404; 301 not branch
declare
    v_node record;
    v_tick_id bigint;
begin
    select n.node_type, n.node_name, n.worker_name, q.queue_id, q.queue_tick_seq
      into v_node
      from pgq_node.node_info n
      left join pgq.queue q on q.queue_name = n.queue_name
     where n.queue_name = i_queue_name;
    if not found then
        ret_code := 404;
        ret_note := 'Node not initialized for queue: ' || i_queue_name;
        return;
    end if;
    if v_node.node_type <> 'branch' then
        ret_code := 301;
        ret_note := 'Node not branch';
        return;
    end if;

    update pgq.queue q set queue_disable_insert = false, queue_external_ticker = false
     where q.queue_name = i_queue_name;
    select t.tick_id into v_tick_id
      from pgq.tick t where t.tick_queue = v_node.queue_id order by t.tick_queue desc, t.tick_id desc limit 1;
    perform pgq.seq_setval(v_node.queue_tick_seq, v_tick_id);
    update pgq_node.node_info n set node_type = 'root' where n.queue_name = i_queue_name;
    update pgq_node.local_state s
       set provider_node = v_node.node_name, last_tick_id = v_tick_id, uptodate = false
     where s.queue_name = i_queue_name and s.consumer_name = v_node.worker_name;
    ret_code := 200;
    ret_note := 'Branch node promoted to root';
end;
$$;
