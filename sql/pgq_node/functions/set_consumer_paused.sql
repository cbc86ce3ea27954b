create or replace function pgq_node.set_consumer_paused(
    in i_queue_name text, in i_consumer_name text, in i_paused boolean, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Asks a consumer to pause or go on. It says that it saw this by setting uptodate.
-- Returns:   200; 201 no change; 404
declare
    v_paused boolean;
begin
    select s.paused into v_paused
      from pgq_node.local_state s where s.queue_name = i_queue_name and s.consumer_name = i_consumer_name for update;
    if not found then
        ret_code := 404;
        ret_note := 'Unknown consumer: ' || i_consumer_name;
        return;
    end if;
    if v_paused = i_paused then
        ret_code := 201;
        ret_note := 'Consumer ' || i_consumer_name || ' already '
                 || case when i_paused then 'paused' else 'resumed' end;
        return;
    end if;
    update pgq_node.local_state s
       set paused = i_paused, uptodate = false
     where s.queue_name = i_queue_name and s.consumer_name = i_consumer_name;
    ret_code := 200;
    ret_note := 'Consumer ' || i_consumer_name || ' tagged as ' || case when i_paused then 'paused' else 'resumed' end;
end;
$$;
