create or replace function pgq.ticker(
    i_queue_name text, i_tick_id bigint, i_orig_timestamp timestamptz, i_event_seq bigint)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Inserts a tick made elsewhere: its id, time and event number, with the local snapshot. Only on queues with an
-- external ticker.
-- Returns:   the tick's id
-- Errors:    queue not found or ticker disabled
declare
    v_queue record;
begin
    select q.queue_id, q.queue_tick_seq, q.queue_event_seq
      into v_queue
      from pgq.queue q
     where q.queue_name = i_queue_name and q.queue_external_ticker and not q.queue_ticker_paused;
    if not found then
        raise exception 'queue not found or ticker disabled: %', i_queue_name;
    end if;

    insert into pgq.tick (tick_queue, tick_id, tick_time, tick_event_seq)
    values (v_queue.queue_id, i_tick_id, i_orig_timestamp, i_event_seq);
    perform pgq.seq_setval(v_queue.queue_tick_seq, i_tick_id);
    perform pgq.seq_setval(v_queue.queue_event_seq, i_event_seq);
    return i_tick_id;
end;
$$;

create or replace function pgq.ticker(i_queue_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Makes a tick on one queue if it is time: enough events, events that have waited long enough, or, without events, ever
-- more slowly up to the idle period.
-- Returns:   the tick's id, null when it is not time yet
-- Errors:    no such queue; This queue has external tick source.; Ticker has been paused for this queue ;
--            Invalid PgQ state ...; 55000 see pgq._next_tick
-- Locks:     an advisory lock per queue, while the tick's id and snapshot are taken
declare
    v_queue record;
    v_tick record;
    v_before record;
    v_event_seq bigint;
    v_count bigint;
    v_lag interval;
    v_gap interval;
begin
    select q.queue_id, q.queue_tick_seq, q.queue_external_ticker, q.queue_ticker_paused, q.queue_ticker_max_count,
           q.queue_ticker_max_lag, q.queue_ticker_idle_period, q.queue_data_pfx,
           pgq.seq_getval(q.queue_event_seq) as event_seq
      into v_queue
      from pgq.queue q where q.queue_name = i_queue_name;
    if not found then
        raise exception 'no such queue';
    end if;
    if v_queue.queue_external_ticker then
        raise exception 'This queue has external tick source.';
    end if;
    if v_queue.queue_ticker_paused then
        raise exception 'Ticker has been paused for this queue';
    end if;
    v_event_seq := v_queue.event_seq;

    select t.tick_id, t.tick_time, t.tick_snapshot, t.tick_event_seq
      into v_tick
      from pgq.tick t where t.tick_queue = v_queue.queue_id order by t.tick_queue desc, t.tick_id desc limit 1;
    if found then
        if txid_snapshot_xmin(v_tick.tick_snapshot) > txid_current() then
            raise exception 'Invalid PgQ state: old xmin=%, old xmax=%, cur txid=%',
                  txid_snapshot_xmin(v_tick.tick_snapshot), txid_snapshot_xmax(v_tick.tick_snapshot), txid_current()
                  using hint = 'The server''s transaction counter went back, e.g. by a restore into a new cluster;'
                               ' raise it with pg_resetwal -e.';
        end if;
        v_count := v_event_seq - v_tick.tick_event_seq;
        if v_count = 0 and v_event_seq = 1 then
            -- A sequence says 1 before its first value and after it: whether there is an event, its table knows.
            execute format('select count(*) from (select from %s e where not txid_visible_in_snapshot(e.ev_txid, $1)'
                           ' limit 1) e', pgq.quote_fqname(v_queue.queue_data_pfx))
               into v_count using v_tick.tick_snapshot;
        end if;
        v_lag := now() - v_tick.tick_time;
        if v_count < 0 then
            raise warning 'Negative new_events?  old=% cur=%', v_tick.tick_event_seq, v_event_seq;
        end if;
        if txid_snapshot_xmax(v_tick.tick_snapshot) > txid_current() then
            raise warning 'Dubious PgQ state: old xmax=%, cur txid=%',
                  txid_snapshot_xmax(v_tick.tick_snapshot), txid_current();
        end if;

        if v_tick.tick_time > clock_timestamp() then
            null;   -- The clock was set back: waiting until it is where it was could take for ever.
        elsif v_count > 0 then
            if v_count < v_queue.queue_ticker_max_count and v_lag < v_queue.queue_ticker_max_lag then
                return null;
            end if;
        else
            -- Idle: each pause may be twice the one before.
            select t.tick_time into v_before
              from pgq.tick t
             where t.tick_queue = v_queue.queue_id and t.tick_id < v_tick.tick_id
             order by t.tick_queue desc, t.tick_id desc limit 1;
            if found then
                v_gap := v_tick.tick_time - v_before.tick_time;
                if v_lag < v_queue.queue_ticker_max_lag / 2
                    or v_lag < v_gap * 2 and v_lag < v_queue.queue_ticker_idle_period then
                    return null;
                end if;
            end if;
        end if;
    end if;

    insert into pgq.tick as t (tick_queue, tick_id, tick_snapshot, tick_event_seq)
    select v_queue.queue_id, n.o_tick_id, n.o_snapshot, v_event_seq
      from pgq._next_tick(v_queue.queue_id, v_queue.queue_tick_seq) n
    returning t.tick_id into v_tick;
    return v_tick.tick_id;
end;
$$;

create or replace function pgq.ticker() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Ticks all queues that have their own ticker, by name. An error in one queue becomes a warning and leaves the others
-- alone.
-- Returns:   how many got a tick
declare
    v_queue_name text;
    v_count bigint := 0;
begin
    for v_queue_name in
        select q.queue_name from pgq.queue q
         where not q.queue_external_ticker and not q.queue_ticker_paused order by q.queue_name
    loop
        begin
            if pgq.ticker(v_queue_name) is not null then
                v_count := v_count + 1;
            end if;
        exception when others then
            raise warning 'Cannot tick queue "%": %', v_queue_name, sqlerrm using errcode = sqlstate;
        end;
    end loop;
    return v_count;
end;
$$;
