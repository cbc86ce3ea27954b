create or replace function skyq.maint_queue_policy(i_queue_name text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Looks at one queue's limits. What is over is a warning. A queue over its size is also rotated at the next chance
-- instead of after its period, and then, by on_full: pause refuses new events until it has shrunk; drop-consumer
-- unregisters those who hold back the rotation and have been behind for max_lag (1 hour where none is set).
-- Returns:   0: nothing more to do now
-- Called by: maintenance, by way of pgq.queue.queue_extra_maint
declare
    v_policy record;
    v_consumer record;
    v_size bigint := skyq.queue_size(i_queue_name);
    v_dropped text[] := '{}';
begin
    select p.* into v_policy from skyq.queue_policy p where p.queue_name = i_queue_name for update;
    if not found or v_size is null then
        return 0;
    end if;
    for v_consumer in
        select c.consumer_name, c.lag from pgq.get_consumer_info(i_queue_name) c where c.lag > v_policy.max_lag
    loop
        raise warning 'Consumer "%" of queue "%" is % behind, over max_lag = %', v_consumer.consumer_name, i_queue_name,
              date_trunc('second', v_consumer.lag), v_policy.max_lag;
    end loop;

    if v_policy.max_size is null or v_size <= v_policy.max_size then
        if v_policy.paused_at is not null then
            update pgq.queue q set queue_disable_insert = false where q.queue_name = i_queue_name;
            raise warning 'Queue "%" takes events again: % is within max_size', i_queue_name, pg_size_pretty(v_size);
        end if;
        if v_policy.full_since is not null or v_policy.paused_at is not null then
            update skyq.queue_policy p
               set full_since = null, paused_at = null, note = case when p.paused_at is null then p.note end
             where p.queue_name = i_queue_name;
        end if;
        return 0;
    end if;

    raise warning 'Queue "%" has %, over max_size = %', i_queue_name, pg_size_pretty(v_size),
          pg_size_pretty(v_policy.max_size);
    update skyq.queue_policy p set full_since = coalesce(p.full_since, now()) where p.queue_name = i_queue_name;
    update pgq.queue q set queue_switch_time = now() - q.queue_rotation_period - interval '1 second'
     where q.queue_name = i_queue_name and q.queue_switch_step2 is not null
       and q.queue_switch_time + q.queue_rotation_period >= now();
    -- A queue that is refused events gets ticks ever more rarely, and consumers need one to let the rotation go on.
    perform pgq.force_tick(q.queue_name)
       from pgq.queue q
      where q.queue_name = i_queue_name
        and q.queue_switch_step2 >= (select txid_snapshot_xmin(t.tick_snapshot) from pgq.tick t
                                      where t.tick_queue = q.queue_id order by t.tick_queue desc, t.tick_id desc limit 1);

    if v_policy.on_full = 'pause' and v_policy.paused_at is null then
        -- One that was disabled by somebody else stays so, and is not enabled by us later.
        update pgq.queue q set queue_disable_insert = true
         where q.queue_name = i_queue_name and not q.queue_disable_insert;
        if found then
            update skyq.queue_policy p set paused_at = now(), note = format('%s: paused', date_trunc('second', now()))
             where p.queue_name = i_queue_name;
            raise warning 'Queue "%" refuses events until it has shrunk', i_queue_name;
        end if;
    elsif v_policy.on_full = 'drop-consumer' then
        for v_consumer in
            select h.consumer_name, h.lag from skyq.rotation_holders(i_queue_name) h
             where h.lag > coalesce(v_policy.max_lag, interval '1 hour') and h.consumer_name !~ '^\.'
        loop
            perform skyq._drop_consumer(i_queue_name, v_consumer.consumer_name);
            v_dropped := v_dropped || format('"%s"', v_consumer.consumer_name);
            raise warning 'Consumer "%" of queue "%" was dropped: % behind, it held back the rotation',
                  v_consumer.consumer_name, i_queue_name, date_trunc('second', v_consumer.lag);
        end loop;
        if v_dropped <> '{}' then
            update skyq.queue_policy p
               set note = format('%s: dropped consumer%s %s', date_trunc('second', now()),
                                 case when cardinality(v_dropped) > 1 then 's' end, array_to_string(v_dropped, ', '))
             where p.queue_name = i_queue_name;
        end if;
    end if;
    return 0;
end;
$$;
