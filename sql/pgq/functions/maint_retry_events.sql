create or replace function pgq.maint_retry_events() returns integer
language plpgsql as $$
-- Puts at most 10 events whose time has come from the retry queue back into their queues.
-- Returns:   how many; call again until 0
-- Locks:     pgq.retry_queue against other movers, not against inserts
declare
    v_event record;
    v_count integer := 0;
begin
    lock table pgq.retry_queue in share update exclusive mode;
    for v_event in
        select r.*, q.queue_name
          from pgq.retry_queue r
          join pgq.queue q on q.queue_id = r.ev_queue
         where r.ev_retry_after <= current_timestamp
         order by r.ev_retry_after limit 10
    loop
        v_count := v_count + 1;
        perform pgq.insert_event_raw(v_event.queue_name, v_event.ev_id, v_event.ev_time,
                                     v_event.ev_owner, v_event.ev_retry, v_event.ev_type, v_event.ev_data,
                                     v_event.ev_extra1, v_event.ev_extra2, v_event.ev_extra3, v_event.ev_extra4);
        delete from pgq.retry_queue r where r.ev_owner = v_event.ev_owner and r.ev_id = v_event.ev_id;
    end loop;
    return v_count;
end;
$$;
