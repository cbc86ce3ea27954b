create or replace function pgq_node.get_consumer_state(
    in i_queue_name text, in i_consumer_name text,
    out ret_code integer, out ret_note text, out node_type text, out node_name text, out completed_tick bigint,
    out provider_node text, out provider_location text, out paused boolean, out uptodate boolean, out cur_error text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
-- State of one cascaded consumer.
-- Returns:   100 and the rest; 404 unknown queue or consumer
declare
    v_state record;
begin
    select n.node_type, n.node_name into node_type, node_name
      from pgq_node.node_info n where n.queue_name = i_queue_name;
    if not found then
        ret_code := 404;
        ret_note := 'Unknown queue: ' || i_queue_name;
        return;
    end if;
    -- From behind: the newest version of the row comes first, however many dead ones a held snapshot keeps.
    select s.consumer_name, s.last_tick_id, s.provider_node, s.paused, s.uptodate, s.cur_error
      into v_state
      from pgq_node.local_state s
     where s.queue_name = i_queue_name and s.consumer_name <= i_consumer_name
     order by s.queue_name desc, s.consumer_name desc limit 1;
    if not found or v_state.consumer_name <> i_consumer_name then
        ret_code := 404;
        ret_note := 'Unknown consumer: ' || i_queue_name || '/' || i_consumer_name;
        return;
    end if;
    select l.node_location into provider_location
      from pgq_node.node_location l where l.queue_name = i_queue_name and l.node_name = v_state.provider_node;
    completed_tick := v_state.last_tick_id;
    provider_node := v_state.provider_node;
    paused := v_state.paused;
    uptodate := v_state.uptodate;
    cur_error := v_state.cur_error;
    ret_code := 100;
    ret_note := 'Ok';
end;
$$;
