create or replace function pgq_coop.finish_batch(i_batch_id bigint) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Closes the batch of a subconsumer, which has no position then; that of its consumer has moved long ago.
-- Returns:   1, or 0 with a warning for an unknown batch
-- Errors:    ... is not open for a subconsumer
-- Locks:     the subconsumer's subscription
declare
    v_sub record;
begin
    select s.sub_queue, s.sub_consumer,
           exists (select 1 from pgq.subscription m
                     join pgq.consumer mc on mc.co_id = m.sub_consumer
                     join pgq.consumer c on c.co_id = s.sub_consumer
                    where m.sub_queue = s.sub_queue and m.sub_id = s.sub_id and m.sub_consumer <> s.sub_consumer
                      and starts_with(c.co_name, mc.co_name || '.')) as is_worker
      into v_sub
      from pgq.subscription s where s.sub_batch = i_batch_id for update of s;
    if not found then
        raise warning 'coop_finish_batch: batch % not found', i_batch_id;
        return 0;
    end if;
    if not v_sub.is_worker then
        raise exception 'Batch % is not open for a subconsumer', i_batch_id using hint = 'Use pgq.finish_batch.';
    end if;
    update pgq.subscription s
       set sub_active = now(), sub_batch = null, sub_last_tick = null, sub_next_tick = null
     where s.sub_queue = v_sub.sub_queue and s.sub_consumer = v_sub.sub_consumer;
    return 1;
end;
$$;
