-- What daemons of PgQ 2.1 call goes on working: its ticker, and consumers that give up on events.
create or replace function pgq.ticker(i_queue_name text, i_tick_id bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- As in PgQ 2.1, where the daemon decided that it is time for a tick, and took its id. Now pgq.ticker() does both.
-- Returns:   i_tick_id, which no tick has
begin
    perform pgq.ticker(i_queue_name);
    return i_tick_id;
end;
$$;

create or replace function pgq.event_failed(x_batch_id bigint, x_event_id bigint, x_reason text) returns integer
language plpgsql as $$
-- As in PgQ 2.1: the consumer gives up on an event of its batch. It becomes a dead letter of skyq.
begin
    return skyq.event_failed(x_batch_id, x_event_id, x_reason);
end;
$$;

do $failed$
begin
    if to_regclass('pgq.failed_queue') is null then
        return;
    end if;
    insert into skyq.failed_event (queue_name, consumer_name, ev_id, ev_time, ev_txid, ev_retry, ev_type, ev_data,
                                   ev_extra1, ev_extra2, ev_extra3, ev_extra4, reason, failed_at)
    select q.queue_name, c.co_name, f.ev_id, f.ev_time, f.ev_txid, f.ev_retry, f.ev_type, f.ev_data,
           f.ev_extra1, f.ev_extra2, f.ev_extra3, f.ev_extra4, f.ev_failed_reason, f.ev_failed_time
      from pgq.failed_queue f
      join pgq.subscription s on s.sub_id = f.ev_owner
      join pgq.queue q on q.queue_id = s.sub_queue
      join pgq.consumer c on c.co_id = s.sub_consumer
        on conflict do nothing;
    drop table pgq.failed_queue;
end;
$failed$;
