create or replace function pgq_ext.set_event_done(
    a_consumer text, a_subconsumer text, a_batch_id bigint, a_event_id bigint)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Marks an event of a batch as done. With the first one of another batch the marks of the batch before are forgotten.
-- Returns:   true when it is marked now, false when it was already
-- Locks:     the consumer's row in pgq_ext.partial_batch
declare
    v_batch_id bigint;
begin
    insert into pgq_ext.partial_batch (consumer_id, subconsumer_id, cur_batch_id)
    values (a_consumer, a_subconsumer, a_batch_id) on conflict (consumer_id, subconsumer_id) do nothing;
    select b.cur_batch_id into v_batch_id
      from pgq_ext.partial_batch b
     where b.consumer_id = a_consumer and b.subconsumer_id = a_subconsumer for update;
    if v_batch_id <> a_batch_id then
        delete from pgq_ext.completed_event e
         where e.consumer_id = a_consumer and e.subconsumer_id = a_subconsumer and e.batch_id = v_batch_id;
        update pgq_ext.partial_batch b
           set cur_batch_id = a_batch_id where b.consumer_id = a_consumer and b.subconsumer_id = a_subconsumer;
    end if;
    insert into pgq_ext.completed_event (consumer_id, subconsumer_id, batch_id, event_id)
    values (a_consumer, a_subconsumer, a_batch_id, a_event_id) on conflict do nothing;
    return found;
end;
$$;

create or replace function pgq_ext.set_event_done(a_consumer text, a_batch_id bigint, a_event_id bigint)
returns boolean
language plpgsql as $$
begin
    return pgq_ext.set_event_done(a_consumer, '', a_batch_id, a_event_id);
end;
$$;
