create or replace function pgq_node.drop_node(
    in i_queue_name text, in i_node_name text, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Drops this node with its queue and all it knows of the others, or forgets another node; the root tells the others.
-- Returns:   200; 405 the other node is this one's provider
declare
    v_node record;
begin
    select n.node_name, s.provider_node
      into v_node
      from pgq_node.node_info n
      left join pgq_node.local_state s on s.queue_name = n.queue_name and s.consumer_name = n.worker_name
     where n.queue_name = i_queue_name;

    if found and v_node.node_name is distinct from i_node_name then
        if v_node.provider_node = i_node_name then
            ret_code := 405;
            ret_note := 'Cannot drop provider node: ' || i_node_name;
            return;
        end if;
        perform pgq_node.unregister_location(i_queue_name, i_node_name);
    else
        -- This node, or what a node that was half dropped left behind.
        delete from pgq_node.subscriber_info s where s.queue_name = i_queue_name;
        delete from pgq_node.local_state s where s.queue_name = i_queue_name;
        delete from pgq_node.node_info n where n.queue_name = i_queue_name;
        perform 1 from pgq.queue q where q.queue_name = i_queue_name;
        if found then
            perform pgq.drop_queue(i_queue_name, true);
        end if;
        delete from pgq_node.node_location l where l.queue_name = i_queue_name;
    end if;
    ret_code := 200;
    ret_note := 'Node dropped: ' || i_node_name;
end;
$$;
