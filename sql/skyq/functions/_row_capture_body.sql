create or replace function skyq._row_capture_body(i_queue_name text, i_table oid, i_args text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the body of the row trigger function that logs one table into one queue. It runs with the writer's search_path,
-- as to set another would cost as much as to encode a row: so whatever it names, it names with its schema.
--
-- An easy row of a table that is as it was pays for one condition, one text and one insert. All else is left to the
-- second half.
-- Errors:    Cannot capture into queue "...": no such queue
declare
    v_queue pgq.queue;
    v_args record;
    v_keys text[];
    v_key_list text;
    v_ignore text[] := (skyq._capture_args(i_args)).o_ignore;
    v_new text := skyq._row_expression(i_table, 'NEW', v_ignore);
    v_old text := skyq._row_expression(i_table, 'OLD', v_ignore);
    v_easy_new text := skyq._easy_row_expression(i_table, 'NEW', v_ignore);
    v_easy_old text := skyq._easy_row_expression(i_table, 'OLD', v_ignore);
    v_refusal text;
    v_name text;
    v_is_as_written text := format('skyq._shape_holds(pg_catalog.regclass %L, %L)', i_table, skyq._shape(i_table));
    v_is_moved text;
    v_context record;
begin
    select a.* into v_args from skyq._capture_args(i_args) a;
    select q.* into v_queue from pgq.queue q where q.queue_name = i_queue_name;
    if not found then
        raise exception 'Cannot capture into queue "%": no such queue', i_queue_name
              using hint = 'Create it with pgq.create_queue().';
    end if;
    v_keys := case when v_args.o_pkey is null then skyq._key_columns(i_table) else skyq._name_list(v_args.o_pkey) end;
    v_key_list := coalesce(v_args.o_pkey, array_to_string(v_keys, ','));
    v_name := skyq._logged_name(v_args.o_table_name);
    v_refusal := skyq._key_refusal('TG_OP', skyq._logged_name(null), v_keys, array(
        select a.attname from pg_attribute a where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped));

    if v_args.o_deny then
        return format($body$
-- Written by skyq.create_capture(), form 2; skyq.refresh_capture() writes it anew.
begin
    if pg_catalog.current_setting('session_replication_role') operator(pg_catalog.=) 'local' then
        return null;
    end if;%s
    raise exception 'Table ''%%'' to queue ''%%'': change not allowed (%%)',
          %s, %L, TG_OP;
end;
$body$,
            case when v_refusal is not null then format('
    if TG_OP operator(pg_catalog.=) ''UPDATE'' or TG_OP operator(pg_catalog.=) ''DELETE'' then
        %s
    end if;', v_refusal) end,
            v_name, i_queue_name);
    end if;

    select c.* into v_context from skyq._context(i_table, true) c;
    v_is_moved := skyq._change_expression(i_table, v_keys, '{}');
    return format($body$
-- Written by skyq.create_capture(), form 2; skyq.refresh_capture() writes it anew.
declare
    v_context pg_catalog.text := %19$s;
    v_slot pg_catalog.int4;
    v_columns pg_catalog.text[];
    v_settings pg_catalog.text[];
    v_event record;
    v_type pg_catalog.text;
    v_data pg_catalog.text;
    v_backup pg_catalog.text;
    v_inserted pg_catalog.text;
begin
    if %18$s and v_context operator(pg_catalog.=) %20$L then
            %1$s
    elsif %18$s and v_context operator(pg_catalog.=) %21$L then
            %2$s
    elsif %18$s and v_context operator(pg_catalog.=) %22$L then
            %3$s
    end if;

    if pg_catalog.current_setting('session_replication_role') operator(pg_catalog.=) 'local' then
        return null;
    end if;
    <<logging>>
    begin
        if TG_OP operator(pg_catalog.<>) 'TRUNCATE' and not (%4$s and %5$s) then
            %6$s
        end if;
        if TG_OP operator(pg_catalog.<>) 'TRUNCATE' and (TG_RELID operator(pg_catalog.<>) %7$L or not %4$s) then
            -- Altered since this was written.
            if TG_OP operator(pg_catalog.=) 'DELETE' then
                v_columns := array(select pg_catalog.json_object_keys(pg_catalog.row_to_json(OLD)));
            else
                v_columns := array(select pg_catalog.json_object_keys(pg_catalog.row_to_json(NEW)));
            end if;
            for v_event in
                execute skyq._change_sql(TG_RELID, TG_OP, v_columns, %8$L::pg_catalog.text[]) using NEW, OLD
            loop
                perform pgq.insert_event(%9$L, v_event.ev_type, v_event.ev_data, %10$s, v_event.ev_extra2, null, null);
            end loop;
            exit logging;
        end if;

        if TG_OP operator(pg_catalog.=) 'INSERT' then
            v_type := %11$L;
            v_data := %12$s;
        elsif TG_OP operator(pg_catalog.=) 'UPDATE' then
            %13$s
        elsif TG_OP operator(pg_catalog.=) 'DELETE' then
            %14$s
        else
            v_type := 'R';
            v_data := '';
        end if;
        v_slot := %15$s;
        loop
            %16$s
            else
                perform pgq.insert_event(%9$L, v_type, v_data, %10$s, v_backup, null, null);
            end if;
            exit logging when v_inserted is null;
            v_type := %11$L;
            v_data := v_inserted;
            v_inserted := null;
        end loop;
    end logging;
    if v_settings is not null then
        %17$s
    end if;
    return null;
end;
$body$,
        -- the easy way
        skyq._easy_capture(skyq._is_easy_row(i_table, 'NEW', v_ignore), v_queue, 'I:' || v_key_list, v_easy_new, v_name, null),
        case when v_refusal is not null then 'null;' else
            skyq._easy_capture(concat_ws(e'\n               and ', 'not (' || v_is_moved || ')',
                                   case when v_ignore <> '{}' then
                                       'not (' || skyq._change_expression(i_table, v_ignore, '{}') || ')' end,
                                   skyq._is_easy_row(i_table, 'NEW', v_ignore),
                                   case when v_args.o_backup then skyq._is_easy_row(i_table, 'OLD', v_ignore) end),
                               v_queue, 'U:' || v_key_list, v_easy_new, v_name,
                               case when v_args.o_backup then v_easy_old end)
        end,
        case when v_refusal is not null then 'null;' else
            skyq._easy_capture(skyq._is_easy_row(i_table, 'OLD', v_ignore), v_queue, 'D:' || v_key_list, v_easy_old, v_name,
                               null)
        end,
        -- the other
        v_is_as_written, (select format('%s operator(pg_catalog.=) %L', c.expression, c.shown) from skyq._context(i_table, false) c), skyq._set_settings(i_table), i_table, coalesce(i_args, '{}'),
        i_queue_name, v_name, 'I:' || v_key_list, v_new,
        case when v_refusal is not null then v_refusal else
            format('if %s then
                v_type := %L;
                v_data := %s;
                v_inserted := %s;
            %s
            else
                v_type := %L;
                v_data := %s;
                %s
            end if;',
                v_is_moved, 'D:' || v_key_list, v_old, v_new,
                case when v_ignore <> '{}' then
                    format('elsif (%s) and not (%s) then
                exit logging;',
                           skyq._change_expression(i_table, v_ignore, '{}'),
                           skyq._change_expression(i_table, null, v_ignore))
                end,
                'U:' || v_key_list, v_new, case when v_args.o_backup then format('v_backup := %s;', v_old) end)
        end,
        case when v_refusal is not null then v_refusal else format('v_type := %L;
            v_data := %s;', 'D:' || v_key_list, v_old) end,
        skyq._slot_expression(v_queue),
        (select string_agg(format($branch$%s v_slot operator(pg_catalog.=) %s then
                insert into %s (ev_time, ev_type, ev_data, ev_extra1, ev_extra2)
                values (current_timestamp, v_type, v_data, %s, v_backup);$branch$,
                    case i when 0 then 'if' else e'\n            elsif' end, i,
                    pgq.quote_fqname(v_queue.queue_data_pfx || '_' || i), v_name),
                '' order by i)
           from generate_series(0, v_queue.queue_ntables - 1) i),
        skyq._reset_settings(i_table), 
        format('skyq._full_shape_holds(pg_catalog.regclass %L, %L)', i_table, skyq._full_shape(i_table)),
        v_context.expression, v_context.shown || 'INSERT', v_context.shown || 'UPDATE', v_context.shown || 'DELETE');
end;
$$;

create or replace function skyq._easy_capture(
    i_condition text, i_queue pgq.queue, i_type text, i_data text, i_name text, i_backup text)
returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the statements that log one row if a condition holds and the queue just takes it, and end the function then.
-- i_data, i_name and i_backup, or null, are expressions.
select format(e'if %s then\n                v_data := %s;%s%s\n                %s\n                end if;\n            end if;',
              i_condition, i_data, e'\n                v_backup := ' || i_backup || ';',
              case when not s.is_constant then e'\n                v_slot := ' || s.expression || ';' end,
              string_agg(format('%s %s operator(pg_catalog.=) %s then
                    insert into %s (ev_time, ev_type, ev_data, ev_extra1%s)
                    values (current_timestamp, %L, v_data, %s%s);
                    return null;',
                  case i when 0 then 'if' else e'\n                elsif' end,
                  case when s.is_constant then s.expression else 'v_slot' end, i,
                  pgq.quote_fqname(i_queue.queue_data_pfx || '_' || i),
                  case when i_backup is not null then ', ev_extra2' end, i_type, i_name,
                  case when i_backup is not null then ', v_backup' end), '' order by i))
  from generate_series(0, i_queue.queue_ntables - 1) i
 cross join (select e, e not like '(%' from skyq._slot_expression(i_queue) e) s (expression, is_constant)
 group by s.expression, s.is_constant
$$;
