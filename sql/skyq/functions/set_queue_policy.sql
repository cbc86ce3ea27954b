create or replace function skyq.set_queue_policy(i_queue_name text, i_param_name text, i_param_value text)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Sets one limit of a queue: max_size (bytes, or with kB, MB, GB, TB), max_lag (an interval) or on_full (warn, pause,
-- drop-consumer). Null takes a limit away. The queue's maintenance looks after it from then on, whatever ticker runs it.
-- What was done before is forgotten; a queue that is paused takes events again when on_full is something else now.
-- Returns:   1
-- Errors:    no such queue; no such limit; the value cannot be read
declare
    v_column text;
begin
    perform 1 from pgq.queue q where q.queue_name = i_queue_name;
    if not found then
        raise exception 'Cannot set "%": no such queue "%"', i_param_name, i_queue_name;
    end if;
    if i_param_name not in ('max_size', 'max_lag', 'on_full') then
        raise exception 'Cannot set "%" of queue "%": no such limit', i_param_name, i_queue_name
              using hint = 'There are max_size, max_lag and on_full.';
    end if;
    insert into skyq.queue_policy (queue_name) values (i_queue_name) on conflict do nothing;
    if i_param_name = 'max_size' then
        update skyq.queue_policy p set max_size = pg_size_bytes(i_param_value) where p.queue_name = i_queue_name;
    elsif i_param_name = 'max_lag' then
        update skyq.queue_policy p set max_lag = i_param_value::interval where p.queue_name = i_queue_name;
    elsif coalesce(i_param_value, 'warn') not in ('warn', 'pause', 'drop-consumer') then
        raise exception 'Cannot set on_full of queue "%": "%" is no way to go on', i_queue_name, i_param_value
              using hint = 'Use warn, pause or drop-consumer.';
    else
        update skyq.queue_policy p set on_full = coalesce(i_param_value, 'warn') where p.queue_name = i_queue_name;
        update pgq.queue q
           set queue_disable_insert = false
         where q.queue_name = i_queue_name and coalesce(i_param_value, 'warn') <> 'pause'
           and exists (select from skyq.queue_policy p where p.queue_name = i_queue_name and p.paused_at is not null);
        if found then
            update skyq.queue_policy p set paused_at = null where p.queue_name = i_queue_name;
        end if;
    end if;
    update skyq.queue_policy p set note = null where p.queue_name = i_queue_name and p.paused_at is null;

    update pgq.queue q
       set queue_extra_maint = array_append(coalesce(q.queue_extra_maint, '{}'), 'skyq.maint_queue_policy')
     where q.queue_name = i_queue_name
       and not coalesce(q.queue_extra_maint, '{}') @> array['skyq.maint_queue_policy'];
    return 1;
end;
$$;
