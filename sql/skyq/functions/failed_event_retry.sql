create or replace function skyq.failed_event_retry(i_queue_name text, i_consumer_name text, i_event_id bigint)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Gives a dead letter to its consumer again: it goes into the retry queue, due at once.
-- Returns:   1, or 0 when there is no such dead letter
-- Errors:    consumer not registered
declare
    v_event record;
begin
    delete from skyq.failed_event f
     where f.queue_name = i_queue_name and f.consumer_name = i_consumer_name and f.ev_id = i_event_id
    returning f.* into v_event;
    if not found then
        return 0;
    end if;
    perform pgq.event_retry_raw(i_queue_name, i_consumer_name, now(), v_event.ev_id, v_event.ev_time,
                                coalesce(v_event.ev_retry, 0) + 1, v_event.ev_type, v_event.ev_data,
                                v_event.ev_extra1, v_event.ev_extra2, v_event.ev_extra3, v_event.ev_extra4);
    return 1;
end;
$$;
