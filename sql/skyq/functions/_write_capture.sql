create or replace function skyq._write_capture(i_queue_name text, i_table oid, i_args text[], i_mode text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Writes, or writes anew, the trigger function that logs one table into one queue, and notes it in skyq.capture. It
-- runs with the rights of whoever installed schema skyq, so the application's roles need none on the queue.
--
-- Events of a table that londiste has registered carry that name, also after the table was renamed: under another name
-- nobody would apply them.
-- Returns:   the function's name in schema skyq
-- Errors:    no such queue
declare
    v_id integer;
    v_function text;
    v_body text;
    v_queue pgq.queue;
    v_name text;
    v_registered text;
    v_args text[] := coalesce(i_args, '{}');
begin
    select coalesce((skyq._capture_args(i_args)).o_table_name, n.nspname || '.' || r.relname), t.table_name
      into v_name, v_registered
      from pg_class r
      join pg_namespace n on n.oid = r.relnamespace
      left join skyq.capture c on c.queue_name = i_queue_name and c.table_oid = r.oid
      left join londiste.table_info t
             on t.queue_name = i_queue_name and t.table_name in (c.table_name, n.nspname || '.' || r.relname)
     where r.oid = i_table
     order by t.table_name = c.table_name desc nulls last
     limit 1;
    if (skyq._capture_args(i_args)).o_table_name is null and v_registered is not null then
        v_name := v_registered;
        v_args := v_args || ('ev_extra1=''' || replace(v_name, '''', '''''') || '''');
    end if;
    insert into skyq.capture as c (queue_name, table_name, table_oid, function_name, mode, columns, trigger_args)
    values (i_queue_name, v_name, i_table, '', i_mode, skyq._full_shape(i_table), coalesce(i_args, '{}'))
        on conflict (queue_name, table_oid) do update
       set table_name = excluded.table_name, mode = excluded.mode, columns = excluded.columns,
           trigger_args = excluded.trigger_args
    returning c.capture_id into v_id;
    v_function := 'capture_' || v_id;
    update skyq.capture c set function_name = v_function where c.capture_id = v_id;

    -- Whoever changes the queue's row waits for us, and then finds the function that must follow it.
    if skyq._is_queue_watched() then
        select q.* into v_queue from pgq.queue q where q.queue_name = i_queue_name for share;
        if found then
            perform skyq._write_queue_slot(v_queue.queue_id, skyq._slot_of(v_queue));
        end if;
    end if;
    if i_mode = 'row' then
        v_body := skyq._row_capture_body(i_queue_name, i_table, v_args);
    else
        v_body := skyq._statement_capture_body(i_queue_name, i_table, v_args);
    end if;
    execute format('create or replace function skyq.%I() returns trigger language plpgsql security definer as %L',
                   v_function, v_body);
    execute format('revoke all on function skyq.%I() from public', v_function);
    if to_regrole('pgq_admin') is not null then
        execute format('grant execute on function skyq.%I() to pgq_admin', v_function);
    end if;
    return v_function;
end;
$$;
