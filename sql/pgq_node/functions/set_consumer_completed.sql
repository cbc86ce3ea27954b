create or replace function pgq_node.set_consumer_completed(
    in i_queue_name text, in i_consumer_name text, in i_tick_id bigint, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
-- Notes that a consumer has applied everything up to a tick. Runs in the transaction that applied it.
-- Returns:   100; 404
declare
    v_row record;
    v_seen tid;
begin
    loop
        -- From behind: the newest version of the row comes first, however many dead ones a held snapshot keeps.
        select s.ctid as row_id, s.consumer_name
          into v_row
          from pgq_node.local_state s
         where s.queue_name = i_queue_name and s.consumer_name <= i_consumer_name
         order by s.queue_name desc, s.consumer_name desc limit 1;
        if not found or v_row.consumer_name <> i_consumer_name or v_row.row_id = v_seen then
            ret_code := 404;
            ret_note := 'Consumer not known: ' || i_queue_name || '/' || i_consumer_name;
            return;
        end if;
        update pgq_node.local_state s
           set last_tick_id = i_tick_id, cur_error = null
         where s.ctid = v_row.row_id and s.queue_name = i_queue_name and s.consumer_name = i_consumer_name;
        exit when found;
        -- Somebody wrote the row meanwhile: it lies elsewhere now.
        v_seen := v_row.row_id;
    end loop;
    ret_code := 100;
    ret_note := 'Consumer ' || i_consumer_name || ' completed tick = ' || i_tick_id;
end;
$$;
