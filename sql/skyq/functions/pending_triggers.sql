create or replace function skyq.drop_user_triggers(i_table_name text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Drops the user's triggers of a table and remembers them in skyq.pending_trigger, for nodes that may not set
-- session_replication_role. Triggers that write to a queue stay.
-- Returns:   how many were dropped
-- Errors:    Cannot drop triggers of table "...": no such table
-- Locks:     access exclusive on the table when it has any, until commit
declare
    v_table regclass := to_regclass(pgq.quote_fqname(i_table_name));
    v_trigger record;
    v_count integer := 0;
begin
    if v_table is null then
        raise exception 'Cannot drop triggers of table "%": no such table', i_table_name using errcode = 'undefined_table';
    end if;
    for v_trigger in
        select t.tgname, pg_get_triggerdef(t.oid) as definition, t.tgenabled
          from pg_trigger t
         where t.tgrelid = v_table and not t.tgisinternal and not skyq._is_queue_function(t.tgfoid)
         order by t.tgname
    loop
        insert into skyq.pending_trigger (table_name, trigger_name, trigger_def, trigger_enabled)
        values (i_table_name, v_trigger.tgname, v_trigger.definition, v_trigger.tgenabled)
            on conflict (table_name, trigger_name) do update
           set trigger_def = excluded.trigger_def, trigger_enabled = excluded.trigger_enabled;
        execute format('drop trigger %I on %s', v_trigger.tgname, v_table);
        v_count := v_count + 1;
    end loop;
    return v_count;
end;
$$;

create or replace function skyq.restore_user_trigger(i_table_name text, i_trigger_name text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Makes a dropped trigger again, enabled as it was. One that somebody made meanwhile is left as it is.
-- Returns:   1, or 0 when it is not pending
-- Errors:    what making the trigger raises, such as undefined_function; it stays pending then
-- Locks:     share row exclusive on the table, until commit
declare
    v_table regclass := to_regclass(pgq.quote_fqname(i_table_name));
    v_trigger skyq.pending_trigger;
begin
    delete from skyq.pending_trigger p where p.table_name = i_table_name and p.trigger_name = i_trigger_name
    returning p.* into v_trigger;
    if not found then
        return 0;
    end if;
    perform 1 from pg_trigger t where t.tgrelid = v_table and t.tgname = i_trigger_name;
    if not found then
        execute v_trigger.trigger_def;
        if v_trigger.trigger_enabled <> 'O' then
            execute format('alter table %s %s trigger %I', v_table,
                           case v_trigger.trigger_enabled when 'D' then 'disable' when 'R' then 'enable replica'
                                else 'enable always' end, i_trigger_name);
        end if;
    end if;
    return 1;
end;
$$;

create or replace function skyq.restore_user_triggers(i_table_name text) returns integer
language sql set search_path = pg_catalog, pg_temp as $$
-- Makes all dropped triggers of a table again.
-- Returns:   how many were pending
select coalesce(sum(skyq.restore_user_trigger(p.table_name, p.trigger_name)), 0)::integer
  from (select p.* from skyq.pending_trigger p where p.table_name = i_table_name order by p.trigger_name) p
$$;
