create or replace function pgq.{{name}}() returns trigger
language plpgsql as $$
-- Logs changes of a table into a queue, {{form}}.
-- Use:       create trigger ... after insert or update or delete on ... for each row
--            execute function pgq.{{name}}('queue', argument, ...)
--            also before, instead of, and after truncate for each statement
-- Arguments: backup; deny; SKIP; ignore=a,b; pkey=a,b; ev_type=... ev_data=... ev_extra1=... to ev_extra4=...; when=...
-- Returns:   the row; null after the operation and with SKIP
-- Errors:    those of pgq._trigger_events, pgq._trigger_expressions and pgq.insert_event
--
-- Runs with the rights and the search_path of whoever writes the table, for the expressions among the arguments are
-- not ours. Only the insert into the queue is done with the owner's rights, so writing needs no grant on pgq.
-- With session_replication_role = local nothing is logged, with replica the server fires what is enabled for it.
declare
    v_needs_json boolean;
    v_events text[];
    v_fields text[];
    v_id bigint;
begin
    if current_setting('session_replication_role') <> 'local' then
        v_needs_json := tg_level = 'ROW'
            and ({{needs_json}});
        v_events := pgq._trigger_events(
            '{{format}}', tg_when, tg_level, tg_op, tg_relid, tg_table_schema, tg_table_name, tg_argv,
            format('%s', old), format('%s', new),
            case when v_needs_json and tg_op <> 'INSERT' then row_to_json(old) end,
            case when v_needs_json and tg_op <> 'DELETE' then row_to_json(new) end);
        for v_first in 2 .. cardinality(v_events) by 7 loop
            v_fields := v_events[v_first + 1 : v_first + 6];
            if v_events[1] = 'expressions' then
                v_fields := pgq._trigger_expressions(tg_argv, v_fields,
                                                     case v_events[v_first] when 'DELETE' then old else new end);
                continue when v_fields is null;
            end if;
            if has_function_privilege(
                'pgq.insert_event(text,text,text,text,text,text,text)'::regprocedure, 'execute') then
                v_id := pgq.insert_event(tg_argv[0], v_fields[1], v_fields[2],
                                         v_fields[3], v_fields[4], v_fields[5], v_fields[6]);
            else
                v_id := pgq._insert_trigger_event(tg_argv[0], v_fields[1], v_fields[2],
                                                  v_fields[3], v_fields[4], v_fields[5], v_fields[6]);
            end if;
        end loop;
        if tg_when = 'AFTER' or 'SKIP' = any (tg_argv[1:]) then
            return null;
        end if;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    return new;
end;
$$;
