create or replace function pgq.next_batch(i_queue_name text, i_consumer_name text) returns bigint
language plpgsql as $$
-- Opens the next batch, up to the next tick.
-- Returns:   its id, null when there is none yet
begin
    return (select f.batch_id from pgq.next_batch_custom(i_queue_name, i_consumer_name, null, null, null) f);
end;
$$;
