create or replace function pgq.unregister_consumer(x_queue_name text, x_consumer_name text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Unregisters a consumer with its subconsumers and retried events, or one subconsumer alone.
-- Returns:   how many subscriptions are gone, 0 when it was not registered
-- Locks:     the subscription and the consumer's name
declare
    v_sub record;
    v_count integer;
begin
    select s.sub_id, s.sub_queue, s.sub_consumer, s.sub_last_tick, s.sub_next_tick
      into v_sub
      from pgq.subscription s
      join pgq.consumer c on c.co_id = s.sub_consumer
      join pgq.queue q on q.queue_id = s.sub_queue
     where q.queue_name = x_queue_name and c.co_name = x_consumer_name
       for update of s, c;
    if not found then
        return 0;
    end if;

    -- A subconsumer shares the id of its main consumer; unlike that one it has no position outside a batch.
    perform 1 from pgq.subscription s where s.sub_id = v_sub.sub_id and s.sub_consumer <> v_sub.sub_consumer;
    if found and (v_sub.sub_last_tick is null) = (v_sub.sub_next_tick is null) then
        delete from pgq.subscription s where s.sub_queue = v_sub.sub_queue and s.sub_consumer = v_sub.sub_consumer;
        return 1;
    end if;

    delete from pgq.retry_queue r where r.ev_owner = v_sub.sub_id;
    delete from pgq.subscription s where s.sub_id = v_sub.sub_id;
    get diagnostics v_count = row_count;
    delete from pgq.consumer c
     where c.co_id = v_sub.sub_consumer
       and not exists (select 1 from pgq.subscription s where s.sub_consumer = c.co_id);
    return v_count;
end;
$$;
