create or replace function pgq.next_batch_custom(
    in i_queue_name text, in i_consumer_name text,
    in i_min_lag interval, in i_min_count integer, in i_min_interval interval,
    out batch_id bigint, out cur_tick_id bigint, out prev_tick_id bigint,
    out cur_tick_time timestamptz, out prev_tick_time timestamptz,
    out cur_tick_event_seq bigint, out prev_tick_event_seq bigint)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Opens the next batch of a consumer, or returns the one it has open.
-- Returns:   the batch and its two ticks, all null when there is none yet
-- Errors:    Not subscriber to queue · PgQ corruption: …
-- Locks:     the subscription's row, only when a batch is opened
declare
    v_queue_id integer;
    v_consumer_id integer;
    v_batch_id bigint;
begin
    loop
        select s.sub_queue, s.sub_consumer, s.sub_batch, t.tick_id, t.tick_time, t.tick_event_seq,
               n.tick_id, n.tick_time, n.tick_event_seq
          into v_queue_id, v_consumer_id, v_batch_id, prev_tick_id, prev_tick_time, prev_tick_event_seq,
               cur_tick_id, cur_tick_time, cur_tick_event_seq
          from pgq.consumer c
          join pgq.subscription s on s.sub_consumer = c.co_id
          join pgq.queue q on q.queue_id = s.sub_queue
          left join pgq.tick t on t.tick_queue = s.sub_queue and t.tick_id = s.sub_last_tick
          left join pgq.tick n on n.tick_queue = s.sub_queue and n.tick_id = s.sub_next_tick
         where q.queue_name = i_queue_name and c.co_name = i_consumer_name;
        if not found then
            raise exception 'Not subscriber to queue: %/%',
                  coalesce(i_queue_name, 'NULL'), coalesce(i_consumer_name, 'NULL');
        end if;
        if prev_tick_id is null then
            raise exception 'PgQ corruption: Consumer % on queue % does not see tick %', i_consumer_name, i_queue_name,
                  (select coalesce(s.sub_last_tick::text, '<NULL>') from pgq.subscription s
                    where s.sub_queue = v_queue_id and s.sub_consumer = v_consumer_id)
                  using hint = 'Its position is lost; register it again with pgq.register_consumer_at.';
        end if;
        if v_batch_id is not null then
            batch_id := v_batch_id;
            return;
        end if;

        if i_min_count is null and i_min_interval is null then
            select t.tick_id, t.tick_time, t.tick_event_seq
              into cur_tick_id, cur_tick_time, cur_tick_event_seq
              from pgq.tick t
             where t.tick_queue = v_queue_id and t.tick_id > prev_tick_id
             order by t.tick_queue, t.tick_id limit 1;
        else
            select f.next_tick_id, f.next_tick_time, f.next_tick_seq
              into cur_tick_id, cur_tick_time, cur_tick_event_seq
              from pgq.find_tick_helper(v_queue_id, prev_tick_id, prev_tick_time, prev_tick_event_seq,
                                        i_min_count, i_min_interval) f;
        end if;
        if cur_tick_id is null or now() - cur_tick_time < i_min_lag then
            prev_tick_id := null;
            prev_tick_time := null;
            prev_tick_event_seq := null;
            cur_tick_id := null;
            cur_tick_time := null;
            cur_tick_event_seq := null;
            return;
        end if;

        -- Somebody else may work under the same name: only an idle subscription that is still where we saw it is taken.
        update pgq.subscription s
           set sub_batch = nextval('pgq.batch_id_seq'), sub_next_tick = cur_tick_id, sub_active = now()
         where s.sub_queue = v_queue_id and s.sub_consumer = v_consumer_id
           and s.sub_batch is null and s.sub_last_tick = prev_tick_id
        returning s.sub_batch into batch_id;
        exit when found;
    end loop;
end;
$$;
