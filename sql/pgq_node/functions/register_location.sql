create or replace function pgq_node.register_location(
    in i_queue_name text, in i_node_name text, in i_node_location text, in i_dead boolean,
    out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Notes where a node is and whether it is dead. A null location keeps the one there is. The root tells the others.
-- Returns:   200
begin
    if i_node_location is null then
        update pgq_node.node_location l set dead = i_dead
         where l.queue_name = i_queue_name and l.node_name = i_node_name;
    else
        insert into pgq_node.node_location (queue_name, node_name, node_location, dead)
        values (i_queue_name, i_node_name, i_node_location, i_dead)
            on conflict on constraint node_location_pkey
            do update set node_location = excluded.node_location, dead = excluded.dead;
    end if;
    if pgq_node._node_type(i_queue_name) = 'root' then
        perform pgq.insert_event(i_queue_name, 'pgq.location-info', i_node_name,
                                 i_queue_name, i_node_location, i_dead::text, null);
    end if;
    ret_code := 200;
    ret_note := 'Location registered';
end;
$$;
