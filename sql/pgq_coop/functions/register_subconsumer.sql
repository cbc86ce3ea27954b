create or replace function pgq_coop.register_subconsumer(
    i_queue_name text, i_consumer_name text, i_subconsumer_name text)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Registers one of several workers that share a consumer's position, and the consumer itself where it is missing.
-- The worker is the consumer "CONSUMER.SUBCONSUMER" with the same sub_id; without a batch it has no position.
-- Returns:   1 registered, 0 it was registered already
-- Errors:    as pgq.register_consumer; ... is no subconsumer of ...
-- Locks:     the names of both and their subscriptions
declare
    v_found record;
    v_worker text := i_consumer_name || '.' || i_subconsumer_name;
begin
    if i_subconsumer_name is null or i_subconsumer_name = '' then
        raise exception 'Cannot register a subconsumer of "%": its name is empty', i_consumer_name;
    end if;
    perform pgq.register_consumer(i_queue_name, i_consumer_name);
    select f.* into v_found from pgq_coop._subscriptions(i_queue_name, i_consumer_name, i_subconsumer_name) f;
    if v_found.worker_id is not null then
        return 0;
    end if;
    perform pgq.register_consumer(i_queue_name, v_worker);
    update pgq.subscription s
       set sub_id = v_found.sub_id, sub_last_tick = null, sub_next_tick = null
      from pgq.consumer c
     where c.co_name = v_worker and s.sub_consumer = c.co_id and s.sub_queue = v_found.queue_id;
    return 1;
end;
$$;
