create or replace function londiste.create_trigger(
    i_queue_name text, i_table_name text, i_trg_args text[], i_dest_table text, i_node_type text,
    out ret_code integer, out ret_note text, out trigger_name text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Makes the triggers that log i_dest_table into a queue under the name i_table_name; others of this queue are dropped.
-- Where only the standard trigger is wanted and the node may ever write to the queue, skyq writes a function for the
-- table.
-- Arguments: tgflags=..., letters of which: I U D what to log (none: all); A after, B before; L logutriga, Q sqltriga, J jsontriga ;
--            S or the argument skip: log and suppress the write. no_triggers: none. Those of local_add_table() do not
--            count. The others go to the trigger function. On a leaf it refuses changes instead of logging them.
-- Returns:   200 made or there already; 201 none wanted
-- Errors:    400 bad flags, no such table; 403 AFTER trigger beside one that suppresses the write; 405 several of those
-- Locks:     as skyq._set_triggers()
declare
    v_table regclass;
    v_arg text;
    v_args text[] := '{}';
    v_flags text := 'AIUDL';
    v_is_skip boolean := false;
    v_skipping text[];
    v_function text;
    v_events text;
begin
    v_table := londiste.find_table_oid(i_dest_table);
    if v_table is null then
        select 400, 'Table does not exist: ' || i_dest_table into ret_code, ret_note;
        return;
    end if;
    foreach v_arg in array coalesce(i_trg_args, '{}') loop
        if v_arg = 'no_triggers' or v_arg = 'virtual_table' then
            select 201, 'Trigger not created' into ret_code, ret_note;
            return;
        elsif v_arg like 'tgflags=%' then
            v_flags := upper(substr(v_arg, 9));
        elsif lower(v_arg) = 'skip' then
            v_is_skip := true;
        elsif v_arg not in ('expect_sync', 'skip_truncate', 'merge_all', 'no_merge') then
            v_args := array_append(v_args, v_arg);
        end if;
    end loop;
    if v_flags !~ '[IUD]' then
        v_flags := v_flags || 'IUD';
    end if;
    if v_flags ~ '[^ABIUDLQJS]' or v_flags ~ 'A' and v_flags ~ 'B' then
        select 400, 'Bad trigger flags: ' || v_flags into ret_code, ret_note;
        return;
    end if;
    v_is_skip := v_is_skip or v_flags ~ 'S';
    if i_dest_table <> i_table_name and not exists (select from unnest(v_args) a where a like 'ev_extra1=%') then
        v_args := array_append(v_args, 'ev_extra1=' || quote_literal(i_table_name));
    end if;

    -- Triggers fire in the order of their names: one that suppresses the write must be the last.
    select array_agg(t.trigger_name) into v_skipping
      from skyq._queue_triggers(v_table) t
     where t.is_before and 'SKIP' = any (t.args) and t.queue_name <> i_queue_name;
    if cardinality(v_skipping) > 1 then
        select 405, 'Multiple SKIP triggers' into ret_code, ret_note;
        return;
    elsif cardinality(v_skipping) = 1 then
        if not v_is_skip and v_flags !~ 'B' then
            select 403, 'AFTER trigger cannot work with SKIP trigger(s)' into ret_code, ret_note;
            return;
        elsif v_skipping[1] not like 'zzz\_%' then
            execute format('alter trigger %I on %s rename to %I', v_skipping[1], v_table, 'zzz_' || v_skipping[1]);
        end if;
        v_is_skip := false;
        v_flags := replace(v_flags, 'A', '') || 'B';
    elsif v_is_skip then
        v_args := array_append(v_args, 'SKIP');
    end if;
    trigger_name := case when v_is_skip then 'zzz_' else '' end || skyq._trigger_name(i_queue_name);

    if i_node_type = 'leaf' then
        v_args := array_append(v_args, 'deny');
    elsif not v_is_skip and v_flags ~ 'I' and v_flags ~ 'U' and v_flags ~ 'D' and v_flags !~ '[BQJ]' then
        if skyq.create_capture(i_queue_name, i_dest_table, v_args) is not null then
            select 200, 'OK' into ret_code, ret_note;
            return;
        end if;
    end if;

    v_function := 'pgq.'
               || case when v_flags ~ 'Q' then 'sqltriga' when v_flags ~ 'J' then 'jsontriga' else 'logutriga' end;
    v_events := case when v_is_skip or v_flags ~ 'B' then 'BEFORE ' else 'AFTER ' end || array_to_string(array[
        case when v_flags ~ 'I' then 'INSERT' end, case when v_flags ~ 'D' then 'DELETE' end,
        case when v_flags ~ 'U' then 'UPDATE' end], ' OR ');
    perform skyq._set_triggers(i_queue_name, v_table, array[
        skyq._trigger_definition(trigger_name, v_events, v_table, 'FOR EACH ROW', v_function, array[i_queue_name] || v_args),
        skyq._trigger_definition(skyq._trigger_name(i_queue_name, '_truncate'), 'AFTER TRUNCATE', v_table, 'FOR EACH STATEMENT',
                                 'pgq.sqltriga',
                                 array[i_queue_name] || array(select a from unnest(v_args) a where a = 'deny'))]);
    perform skyq._forget_capture(i_queue_name, v_table);
    select 200, 'OK' into ret_code, ret_note;
end;
$$;
