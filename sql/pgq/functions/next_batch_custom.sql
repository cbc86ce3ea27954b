create or replace function pgq.next_batch_custom(
    in i_queue_name text, in i_consumer_name text,
    in i_min_lag interval, in i_min_count integer, in i_min_interval interval,
    out batch_id bigint, out cur_tick_id bigint, out prev_tick_id bigint,
    out cur_tick_time timestamptz, out prev_tick_time timestamptz,
    out cur_tick_event_seq bigint, out prev_tick_event_seq bigint)
returns record
language plpgsql security definer
-- A session that planned while the tables were small must not read them whole when a held snapshot has let them grow.
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
-- Opens the next batch of a consumer, or returns the one it has open.
-- Returns:   the batch and its two ticks, all null when there is none yet
-- Errors:    Not subscriber to queue; PgQ corruption: ...
-- Locks:     the subscription's row, only when a batch is opened
declare
    v_queue_id integer;
    v_consumer_id integer;
    v_sub record;
    v_prev record;
    v_next record;
begin
    select q.queue_id into v_queue_id from pgq.queue q where q.queue_name = i_queue_name;
    select c.co_id into v_consumer_id from pgq.consumer c where c.co_name = i_consumer_name;
    loop
        -- From behind: the newest version of the row comes first, however many dead ones a held snapshot keeps.
        select s.ctid as row_id, s.sub_consumer, s.sub_last_tick, s.sub_batch, s.sub_next_tick
          into v_sub
          from pgq.subscription s
         where s.sub_queue = v_queue_id and s.sub_consumer <= v_consumer_id
         order by s.sub_queue desc, s.sub_consumer desc limit 1;
        if not found or v_sub.sub_consumer <> v_consumer_id then
            raise exception 'Not subscriber to queue: %/%',
                  coalesce(i_queue_name, 'NULL'), coalesce(i_consumer_name, 'NULL');
        end if;
        select t.tick_id, t.tick_time, t.tick_event_seq
          into v_prev
          from pgq.tick t where t.tick_queue = v_queue_id and t.tick_id = v_sub.sub_last_tick;
        if not found then
            raise exception 'PgQ corruption: Consumer % on queue % does not see tick %', i_consumer_name, i_queue_name,
                  coalesce(v_sub.sub_last_tick::text, '<NULL>')
                  using hint = 'Its position is lost; register it again with pgq.register_consumer_at.';
        end if;

        if v_sub.sub_batch is not null then
            select t.tick_id, t.tick_time, t.tick_event_seq
              into v_next
              from pgq.tick t where t.tick_queue = v_queue_id and t.tick_id = v_sub.sub_next_tick;
            batch_id := v_sub.sub_batch;
            exit;
        end if;
        if i_min_count is null and i_min_interval is null then
            select t.tick_id, t.tick_time, t.tick_event_seq
              into v_next
              from pgq.tick t
             where t.tick_queue = v_queue_id and t.tick_id > v_prev.tick_id
             order by t.tick_queue, t.tick_id limit 1;
        else
            select f.next_tick_id as tick_id, f.next_tick_time as tick_time, f.next_tick_seq as tick_event_seq
              into v_next
              from pgq.find_tick_helper(v_queue_id, v_prev.tick_id, v_prev.tick_time, v_prev.tick_event_seq,
                                        i_min_count, i_min_interval) f;
        end if;
        if v_next.tick_id is null or now() - v_next.tick_time < i_min_lag then
            return;
        end if;

        -- A sequence that was set back must not give one id to two batches.
        loop
            batch_id := nextval('pgq.batch_id_seq');
            exit when (select b.row_id from pgq._open_batch(batch_id) b) is null;
        end loop;
        -- Somebody else may work under the same name: only an idle subscription that is still where we saw it is taken.
        update pgq.subscription s
           set sub_batch = batch_id, sub_next_tick = v_next.tick_id, sub_active = now()
         where s.ctid = v_sub.row_id and s.sub_queue = v_queue_id and s.sub_consumer = v_consumer_id
           and s.sub_batch is null and s.sub_last_tick = v_prev.tick_id;
        exit when found;
    end loop;

    prev_tick_id := v_prev.tick_id;
    prev_tick_time := v_prev.tick_time;
    prev_tick_event_seq := v_prev.tick_event_seq;
    cur_tick_id := v_next.tick_id;
    cur_tick_time := v_next.tick_time;
    cur_tick_event_seq := v_next.tick_event_seq;
end;
$$;
