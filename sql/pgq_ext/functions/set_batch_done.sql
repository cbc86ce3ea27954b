create or replace function pgq_ext.set_batch_done(a_consumer text, a_subconsumer text, a_batch_id bigint)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Remembers a batch as the one done last. An id up to 0 is nothing to remember.
-- Returns:   false when it had been done already
-- Locks:     the consumer's row: of two who do the same batch the second gets false
begin
    if a_batch_id > 0 then
        insert into pgq_ext.completed_batch as b (consumer_id, subconsumer_id, last_batch_id)
        values (a_consumer, a_subconsumer, a_batch_id)
            on conflict (consumer_id, subconsumer_id) do update set last_batch_id = a_batch_id
         where b.last_batch_id <> a_batch_id;
        return found;
    end if;
    return not pgq_ext.is_batch_done(a_consumer, a_subconsumer, a_batch_id);
end;
$$;

create or replace function pgq_ext.set_batch_done(a_consumer text, a_batch_id bigint) returns boolean
language plpgsql as $$
begin
    return pgq_ext.set_batch_done(a_consumer, '', a_batch_id);
end;
$$;
