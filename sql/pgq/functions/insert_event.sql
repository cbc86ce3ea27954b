create or replace function pgq.insert_event(queue_name text, ev_type text, ev_data text) returns bigint
language plpgsql as $$
-- Puts an event into a queue.
-- Returns:   the event's id
begin
    return pgq.insert_event(queue_name, ev_type, ev_data, null, null, null, null);
end;
$$;

create or replace function pgq.insert_event(queue_name text, ev_type text, ev_data text,
                                            ev_extra1 text, ev_extra2 text, ev_extra3 text, ev_extra4 text)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Puts an event with extra fields into a queue. Its time is the start of the transaction.
-- Returns:   the event's id
-- Errors:    those of pgq.insert_event_raw
begin
    return pgq.insert_event_raw(queue_name, null, now(), null, null,
                                ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4);
end;
$$;
