create or replace function pgq.set_queue_config(x_queue_name text, x_param_name text, x_param_value text)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Sets one parameter of a queue, named without its prefix queue_. The value is cast to the column's type.
-- Returns:   1
-- Errors:    Invalid NULL value; No such event queue; cannot change parameter "..."; 22004 value is null
begin
    if x_queue_name is null or x_param_name is null then
        raise exception 'Invalid NULL value';
    end if;
    perform 1 from pgq.queue q where q.queue_name = x_queue_name;
    if not found then
        raise exception 'No such event queue';
    end if;
    if x_param_name not in ('ticker_max_count', 'ticker_max_lag', 'ticker_idle_period', 'ticker_paused',
                            'rotation_period', 'external_ticker') then
        raise exception 'cannot change parameter "%s"', x_param_name;
    end if;
    if x_param_value is null then
        raise exception 'Cannot set parameter "%" of queue "%": the value is null', x_param_name, x_queue_name
              using errcode = 'null_value_not_allowed';
    end if;
    execute format('update pgq.queue set %I = %L where queue_name = %L',
                   'queue_' || x_param_name, x_param_value, x_queue_name);
    return 1;
end;
$$;
