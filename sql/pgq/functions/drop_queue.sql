create or replace function pgq.drop_queue(x_queue_name text, x_force boolean) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Drops a queue with its events. With x_force its consumers are unregistered first.
-- Returns:   1
-- Errors:    No such event queue; cannot drop queue, consumers still attached
declare
    v_queue pgq.queue;
    v_consumer text;
begin
    select q.* into v_queue from pgq.queue q where q.queue_name = x_queue_name for update;
    if not found then
        raise exception 'No such event queue';
    end if;

    if x_force then
        for v_consumer in
            select c.co_name from pgq.subscription s join pgq.consumer c on c.co_id = s.sub_consumer
             where s.sub_queue = v_queue.queue_id
        loop
            perform pgq.unregister_consumer(x_queue_name, v_consumer);
        end loop;
    end if;
    perform 1 from pgq.subscription s where s.sub_queue = v_queue.queue_id;
    if found then
        raise exception 'cannot drop queue, consumers still attached';
    end if;

    for v_index in 0 .. v_queue.queue_ntables - 1 loop
        execute 'drop table ' || pgq.quote_fqname(v_queue.queue_data_pfx || '_' || v_index);
    end loop;
    execute 'drop table ' || pgq.quote_fqname(v_queue.queue_data_pfx);

    delete from pgq.retry_queue r where r.ev_queue = v_queue.queue_id;
    delete from pgq.tick t where t.tick_queue = v_queue.queue_id;
    execute 'drop sequence ' || pgq.quote_fqname(v_queue.queue_tick_seq);
    execute 'drop sequence ' || pgq.quote_fqname(v_queue.queue_event_seq);
    delete from pgq.queue q where q.queue_id = v_queue.queue_id;
    return 1;
end;
$$;

create or replace function pgq.drop_queue(x_queue_name text) returns integer
language plpgsql strict as $$
-- Drops a queue that has no consumers.
begin
    return pgq.drop_queue(x_queue_name, false);
end;
$$;
