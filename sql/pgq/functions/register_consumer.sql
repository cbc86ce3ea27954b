create or replace function pgq.register_consumer(x_queue_name text, x_consumer_id text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Registers a consumer at the newest tick of a queue.
-- Returns:   1, or 0 when it is registered already
-- Errors:    those of pgq.register_consumer_at
begin
    return pgq.register_consumer_at(x_queue_name, x_consumer_id, null);
end;
$$;
