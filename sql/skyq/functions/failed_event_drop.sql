create or replace function skyq.failed_event_drop(i_queue_name text, i_consumer_name text, i_event_id bigint)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Forgets a dead letter.
-- Returns:   1, or 0 when there is no such dead letter
begin
    delete from skyq.failed_event f
     where f.queue_name = i_queue_name and f.consumer_name = i_consumer_name and f.ev_id = i_event_id;
    return case when found then 1 else 0 end;
end;
$$;
