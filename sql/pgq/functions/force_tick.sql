create or replace function pgq.force_tick(i_queue_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Makes the next run of the ticker tick, by moving the event sequence as if many events had come. The caller repeats it
-- until the returned id has grown.
-- Returns:   the id of the newest tick so far, null for an unknown queue
declare
    v_queue record;
begin
    select q.queue_id, q.queue_event_seq, q.queue_ticker_max_count,
           q.queue_external_ticker or q.queue_ticker_paused as is_manual
      into v_queue
      from pgq.queue q where q.queue_name = i_queue_name;
    if not found then
        return null;
    end if;
    if not v_queue.is_manual then
        perform setval(s.seq, nextval(s.seq) + v_queue.queue_ticker_max_count * 2 + 1000)
           from (select pgq.quote_fqname(v_queue.queue_event_seq)::regclass as seq) s;
    end if;
    return (select t.tick_id from pgq.tick t
             where t.tick_queue = v_queue.queue_id order by t.tick_queue desc, t.tick_id desc limit 1);
end;
$$;
