create or replace function pgq_coop.unregister_subconsumer(
    i_queue_name text, i_consumer_name text, i_subconsumer_name text, i_batch_handling integer)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Takes a subconsumer away; its consumer stays. With i_batch_handling = 1 an open batch is forgotten: nobody gets its
-- events then.
-- Returns:   1, or 0 when there is no such subconsumer
-- Errors:    subconsumer has active batch; ... is no subconsumer of ...
-- Locks:     as pgq_coop._subscriptions()
declare
    v_found record;
begin
    select f.* into v_found from pgq_coop._subscriptions(i_queue_name, i_consumer_name, i_subconsumer_name) f;
    if v_found.worker_id is null then
        return 0;
    end if;
    if v_found.worker_batch is not null and i_batch_handling is distinct from 1 then
        raise exception 'subconsumer has active batch';
    end if;
    perform pgq_coop._drop_worker(v_found.queue_id, v_found.worker_id);
    return 1;
end;
$$;
