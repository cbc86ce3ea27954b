create or replace function pgq_node.unregister_location(
    in i_queue_name text, in i_node_name text, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Forgets a node: its subscription and its location. The root tells the others.
-- Returns:   200; 301 not found; 403 it is this node or its provider
declare
    v_node record;
begin
    select n.node_name, n.node_type, s.provider_node
      into v_node
      from pgq_node.node_info n
      left join pgq_node.local_state s on s.queue_name = n.queue_name and s.consumer_name = n.worker_name
     where n.queue_name = i_queue_name;
    if found then
        if v_node.node_name = i_node_name then
            ret_code := 403;
            ret_note := 'Cannot drop node''s own location';
            return;
        end if;
        if v_node.provider_node = i_node_name then
            ret_code := 403;
            ret_note := 'Cannot drop location of node''s parent';
            return;
        end if;
        perform pgq_node.unregister_subscriber(i_queue_name, i_node_name);
    end if;

    delete from pgq_node.node_location l where l.queue_name = i_queue_name and l.node_name = i_node_name;
    if found then
        ret_code := 200;
        ret_note := 'Ok';
    else
        ret_code := 301;
        ret_note := 'Location not found: ' || i_queue_name || '/' || i_node_name;
    end if;
    if v_node.node_type = 'root' then
        perform pgq.insert_event(i_queue_name, 'pgq.unregister-location', i_node_name, i_queue_name, null, null, null);
    end if;
end;
$$;
