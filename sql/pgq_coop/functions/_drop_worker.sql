create or replace function pgq_coop._drop_worker(i_queue_id integer, i_consumer_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Takes the subscription of one subconsumer away, and its name when nothing else uses it.
-- Locks:     the name
begin
    perform 1 from pgq.consumer c where c.co_id = i_consumer_id for update;
    delete from pgq.subscription s where s.sub_queue = i_queue_id and s.sub_consumer = i_consumer_id;
    delete from pgq.consumer c
     where c.co_id = i_consumer_id and not exists (select 1 from pgq.subscription s where s.sub_consumer = c.co_id);
end;
$$;
