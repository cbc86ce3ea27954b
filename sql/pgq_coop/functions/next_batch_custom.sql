create or replace function pgq_coop.next_batch_custom(
    i_queue_name text, i_consumer_name text, i_subconsumer_name text,
    i_min_lag interval, i_min_count integer, i_min_interval interval, i_dead_interval interval)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Opens a batch for one of several workers of a consumer, or returns the one it has open. The consumer's position moves
-- at once, so the next worker gets the next batch. With i_dead_interval the batch of a worker that has not been heard of
-- for so long is taken over, and workers without one that are as silent are forgotten; whoever comes back is registered
-- again by this call.
-- Returns:   the batch, null when there is none; one that was taken over has a new number
-- Errors:    main consumer has batch open?; as pgq.next_batch_custom
-- Locks:     as pgq_coop._subscriptions(), until the end of the transaction
declare
    v_found record;
    v_dead record;
    v_batch record;
    v_last_tick bigint;     -- where the consumer stands afterwards
begin
    select f.* into v_found from pgq_coop._subscriptions(i_queue_name, i_consumer_name, i_subconsumer_name) f;
    if v_found.worker_id is null then
        perform pgq_coop.register_subconsumer(i_queue_name, i_consumer_name, i_subconsumer_name);
        select f.* into v_found from pgq_coop._subscriptions(i_queue_name, i_consumer_name, i_subconsumer_name) f;
    end if;
    if v_found.main_batch is not null then
        raise exception 'main consumer has batch open?'
              using hint = 'A consumer with subconsumers is read by them alone; finish its batch with pgq.finish_batch.';
    end if;
    -- Also without a batch: who asks is alive.
    update pgq.subscription s
       set sub_active = now() where s.sub_queue = v_found.queue_id and s.sub_consumer = v_found.worker_id;
    if v_found.worker_batch is not null then
        return v_found.worker_batch;
    end if;

    if i_dead_interval is not null then
        for v_dead in
            select s.sub_consumer, s.sub_batch, s.sub_last_tick, s.sub_next_tick
              from pgq.subscription s
             where s.sub_queue = v_found.queue_id and s.sub_id = v_found.sub_id
               and s.sub_consumer not in (v_found.main_id, v_found.worker_id) and s.sub_active < now() - i_dead_interval
             order by s.sub_batch is not null, s.sub_active
               for update
        loop
            perform pgq_coop._drop_worker(v_found.queue_id, v_dead.sub_consumer);
            continue when v_dead.sub_batch is null;
            -- Under a new number: whoever was taken for dead cannot finish what is somebody else's now. Only pgq gives
            -- numbers out, with a batch of the consumer that begins at the same tick.
            select s.sub_last_tick into v_last_tick
              from pgq.subscription s where s.sub_queue = v_found.queue_id and s.sub_consumer = v_found.main_id;
            update pgq.subscription s
               set sub_last_tick = v_dead.sub_last_tick
             where s.sub_queue = v_found.queue_id and s.sub_consumer = v_found.main_id;
            select b.batch_id, v_dead.sub_last_tick as prev_tick_id, v_dead.sub_next_tick as cur_tick_id
              into v_batch
              from pgq.next_batch_custom(i_queue_name, i_consumer_name, null, null, null) b;
            exit;
        end loop;
    end if;

    if v_last_tick is null then
        select b.batch_id, b.prev_tick_id, b.cur_tick_id
          into v_batch
          from pgq.next_batch_custom(i_queue_name, i_consumer_name, i_min_lag, i_min_count, i_min_interval) b;
        if v_batch.batch_id is null then
            return null;
        end if;
        v_last_tick := v_batch.cur_tick_id;
    end if;
    update pgq.subscription s
       set sub_batch = null, sub_next_tick = null, sub_last_tick = v_last_tick, sub_active = now()
     where s.sub_queue = v_found.queue_id and s.sub_consumer = v_found.main_id;
    update pgq.subscription s
       set sub_batch = v_batch.batch_id, sub_last_tick = v_batch.prev_tick_id, sub_next_tick = v_batch.cur_tick_id
     where s.sub_queue = v_found.queue_id and s.sub_consumer = v_found.worker_id;
    return v_batch.batch_id;
end;
$$;

create or replace function pgq_coop.next_batch_custom(
    i_queue_name text, i_consumer_name text, i_subconsumer_name text,
    i_min_lag interval, i_min_count integer, i_min_interval interval)
returns bigint
language plpgsql as $$
-- The same without taking over.
begin
    return pgq_coop.next_batch_custom(i_queue_name, i_consumer_name, i_subconsumer_name,
                                      i_min_lag, i_min_count, i_min_interval, null);
end;
$$;
