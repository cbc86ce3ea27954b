create or replace function pgq.event_retry(x_batch_id bigint, x_event_id bigint, x_retry_time timestamptz)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Puts one event of an open batch into the retry queue, for this consumer only, to come again after x_retry_time.
-- Returns:   1, or 0 when it is there already
-- Errors:    event not found
declare
    v_sub record;
    v_event record;
begin
    select b.sub_id, b.sub_queue into v_sub from pgq._open_batch(x_batch_id) b;
    if v_sub.sub_id is null then
        raise exception 'event not found';
    end if;
    execute 'select e.* from (' || pgq.batch_event_sql(x_batch_id) || ') e where e.ev_id = $1'
       into v_event using x_event_id;
    if v_event.ev_id is null then
        raise exception 'event not found';
    end if;
    insert into pgq.retry_queue (ev_retry_after, ev_queue, ev_id, ev_time, ev_owner, ev_retry,
                                 ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4)
    values (x_retry_time, v_sub.sub_queue, v_event.ev_id, v_event.ev_time, v_sub.sub_id,
            coalesce(v_event.ev_retry, 0) + 1, v_event.ev_type, v_event.ev_data,
            v_event.ev_extra1, v_event.ev_extra2, v_event.ev_extra3, v_event.ev_extra4)
        on conflict (ev_owner, ev_id) do nothing;
    return case when found then 1 else 0 end;
end;
$$;

create or replace function pgq.event_retry(x_batch_id bigint, x_event_id bigint, x_retry_seconds integer)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Puts one event of an open batch into the retry queue, to come again after x_retry_seconds.
-- Returns:   1, or 0 when it is there already
begin
    return pgq.event_retry(x_batch_id, x_event_id, now() + make_interval(secs => x_retry_seconds));
end;
$$;
