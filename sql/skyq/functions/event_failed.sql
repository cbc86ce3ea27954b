create or replace function skyq.event_failed(i_batch_id bigint, i_event_id bigint, i_reason text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Puts one event of an open batch among the dead letters of its consumer. Finishing the batch is left to the consumer.
-- Returns:   1, or 0 when it is there already
-- Errors:    batch not found; event not found
declare
    v_info record;
    v_event record;
begin
    select i.queue_name, i.consumer_name into v_info from pgq.get_batch_info(i_batch_id) i;
    if v_info.queue_name is null then
        raise exception 'batch not found';
    end if;
    execute 'select e.* from (' || pgq.batch_event_sql(i_batch_id) || ') e where e.ev_id = $1'
       into v_event using i_event_id;
    if v_event.ev_id is null then
        raise exception 'event not found';
    end if;
    insert into skyq.failed_event (queue_name, consumer_name, ev_id, ev_time, ev_txid, ev_retry, ev_type, ev_data,
                                   ev_extra1, ev_extra2, ev_extra3, ev_extra4, reason)
    values (v_info.queue_name, v_info.consumer_name, v_event.ev_id, v_event.ev_time, v_event.ev_txid, v_event.ev_retry,
            v_event.ev_type, v_event.ev_data, v_event.ev_extra1, v_event.ev_extra2, v_event.ev_extra3,
            v_event.ev_extra4, i_reason)
        on conflict do nothing;
    return case when found then 1 else 0 end;
end;
$$;
