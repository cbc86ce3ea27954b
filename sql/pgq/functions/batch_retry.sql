create or replace function pgq.batch_retry(i_batch_id bigint, i_retry_seconds integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Puts all events of an open batch into the retry queue, except those that are there already.
-- Returns:   how many
-- Errors:    batch_retry: batch ... not found
declare
    v_sub record;
    v_count integer;
begin
    select b.sub_id, b.sub_queue into v_sub from pgq._open_batch(i_batch_id) b;
    if v_sub.sub_id is null then
        raise exception 'batch_retry: batch % not found', i_batch_id;
    end if;
    execute 'insert into pgq.retry_queue (ev_retry_after, ev_queue, ev_id, ev_time, ev_owner, ev_retry,'
            ' ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4)'
            ' select $1, $2, e.ev_id, e.ev_time, $3, coalesce(e.ev_retry, 0) + 1,'
            ' e.ev_type, e.ev_data, e.ev_extra1, e.ev_extra2, e.ev_extra3, e.ev_extra4'
            ' from (' || pgq.batch_event_sql(i_batch_id) || ') e on conflict (ev_owner, ev_id) do nothing'
      using now() + make_interval(secs => i_retry_seconds), v_sub.sub_queue, v_sub.sub_id;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
