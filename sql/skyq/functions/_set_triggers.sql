create or replace function skyq._set_triggers(i_queue_name text, i_table regclass, i_definitions text[]) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Makes these the only triggers by which a table writes to this queue. Definitions are written as pg_get_triggerdef()
-- writes them, so that one that is there already stays, and the table is not locked.
-- Returns:   how many triggers were dropped or made
-- Locks:     access exclusive on the table to drop one, share row exclusive to make one, until commit
declare
    v_trigger record;
    v_definition text;
    v_missing text[] := i_definitions;
    v_count integer := 0;
begin
    for v_trigger in
        select t.trigger_name, pg_get_triggerdef(t.trigger_oid) as definition
          from skyq._queue_triggers(i_table) t where t.queue_name = i_queue_name
    loop
        if v_trigger.definition = any (v_missing) then
            v_missing := array_remove(v_missing, v_trigger.definition);
        else
            execute format('drop trigger %I on %s', v_trigger.trigger_name, i_table);
            v_count := v_count + 1;
        end if;
    end loop;
    foreach v_definition in array v_missing loop
        execute v_definition;
        v_count := v_count + 1;
    end loop;
    return v_count;
end;
$$;

create or replace function skyq._trigger_definition(
    i_name text, i_when text, i_table regclass, i_scope text, i_function text, i_args text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The statement that makes a trigger, in the form of pg_get_triggerdef().
select format('CREATE TRIGGER %I %s ON %s %s EXECUTE FUNCTION %s(%s)', i_name, i_when,
              format('%I.%I', n.nspname, c.relname), i_scope, i_function,
              (select string_agg(quote_literal(a.arg), ', ' order by a.nr) from unnest(i_args) with ordinality a (arg, nr)))
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.oid = i_table
$$;
