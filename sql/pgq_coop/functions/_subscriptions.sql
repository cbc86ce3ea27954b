create or replace function pgq_coop._subscriptions(
    in i_queue_name text, in i_consumer_name text, in i_subconsumer_name text,
    out queue_id integer, out main_id integer, out sub_id integer, out main_batch bigint,
    out worker_id integer, out worker_sub_id integer, out worker_batch bigint)
returns record
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Looks up a consumer and one of its subconsumers, and keeps all other calls about that consumer waiting.
-- Returns:   what is registered, null for what is not; ids of consumers, batches that are open
-- Errors:    ... is no subconsumer of ...
-- Locks:     the consumer's subscription, then the subconsumer's
begin
    select q.queue_id, s.sub_consumer, s.sub_id, s.sub_batch
      into queue_id, main_id, sub_id, main_batch
      from pgq.queue q
      join pgq.subscription s on s.sub_queue = q.queue_id
      join pgq.consumer c on c.co_id = s.sub_consumer
     where q.queue_name = i_queue_name and c.co_name = i_consumer_name
       for update of s;
    select s.sub_consumer, s.sub_id, s.sub_batch
      into worker_id, worker_sub_id, worker_batch
      from pgq.queue q
      join pgq.subscription s on s.sub_queue = q.queue_id
      join pgq.consumer c on c.co_id = s.sub_consumer
     where q.queue_name = i_queue_name and c.co_name = i_consumer_name || '.' || i_subconsumer_name
       for update of s;
    if worker_sub_id <> sub_id or (worker_sub_id is not null and sub_id is null) then
        raise exception 'Consumer % of queue % is no subconsumer of %',
              i_consumer_name || '.' || i_subconsumer_name, i_queue_name, i_consumer_name
              using hint = 'It was registered by itself; unregister it, or choose another name.';
    end if;
end;
$$;
