create or replace function skyq._row_capture_body(i_queue_name text, i_table oid, i_args text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the body of the row trigger function that logs one table into one queue, with nothing left to look up per row
-- but which event table is current.
-- Errors:    Cannot capture into queue "…": no such queue
declare
    v_queue record;
    v_args record;
    v_keys text[];
    v_key_list text;
    v_new text := skyq._row_expression(i_table, 'NEW', (skyq._capture_args(i_args)).o_ignore);
    v_old text := skyq._row_expression(i_table, 'OLD', (skyq._capture_args(i_args)).o_ignore);
    v_refusal text;
begin
    select a.* into v_args from skyq._capture_args(i_args) a;
    select q.queue_id, q.queue_ntables, q.queue_data_pfx into v_queue from pgq.queue q where q.queue_name = i_queue_name;
    if not found then
        raise exception 'Cannot capture into queue "%": no such queue', i_queue_name
              using hint = 'Create it with pgq.create_queue().';
    end if;
    v_keys := case when v_args.o_pkey is null then skyq._key_columns(i_table) else skyq._name_list(v_args.o_pkey) end;
    v_key_list := coalesce(v_args.o_pkey, array_to_string(v_keys, ','));
    v_refusal := skyq._key_refusal('TG_OP', skyq._logged_name(null), v_keys, array(
        select a.attname from pg_attribute a where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped));

    if v_args.o_deny then
        return format($body$
-- Written by skyq.create_capture(); skyq.refresh_capture() writes it anew.
begin
    if current_setting('session_replication_role') = 'local' then
        return null;
    end if;%s
    raise exception 'Table ''%%'' to queue ''%%'': change not allowed (%%)',
          %s, %L, TG_OP;
end;
$body$,
            case when v_refusal is not null then format('
    if TG_OP in (''UPDATE'', ''DELETE'') then
        %s
    end if;', v_refusal) end,
            skyq._logged_name(v_args.o_table_name), i_queue_name);
    end if;

    return format($body$
-- Written by skyq.create_capture(); skyq.refresh_capture() writes it anew.
declare
    v_slot integer;
    v_columns text[];
    v_event record;
    v_type text;
    v_data text;
    v_backup text;
    v_inserted text;
begin
    if current_setting('session_replication_role') = 'local' then
        return null;
    end if;

    if (TG_RELID <> oid %1$L or not skyq._shape_holds(regclass %1$L, %2$L)) and TG_OP <> 'TRUNCATE' then
        -- Altered since this was written.
        if TG_OP = 'DELETE' then
            v_columns := array(select json_object_keys(row_to_json(OLD)));
        else
            v_columns := array(select json_object_keys(row_to_json(NEW)));
        end if;
        for v_event in
            execute skyq._change_sql(TG_RELID, TG_OP, v_columns, %3$L::text[]) using NEW, OLD
        loop
            perform pgq.insert_event(%4$L, v_event.ev_type, v_event.ev_data, %5$s, v_event.ev_extra2, null, null);
        end loop;
        return null;
    end if;

    if TG_OP = 'INSERT' then
        v_type := %6$L;
        v_data := %7$s;
    elsif TG_OP = 'UPDATE' then
        %8$s
    elsif TG_OP = 'DELETE' then
        %9$s
    else
        v_type := 'R';
        v_data := '';
    end if;

    -- The row was written just now, so the transaction has its id: a rotation that this query does not see yet can only
    -- end with a newer one, and readers look into both tables for older ones.
    select case when q.queue_per_tx_limit is null and not q.queue_disable_insert then q.queue_cur_table end into v_slot
      from pgq.queue q where q.queue_id = %10$s and q.queue_name = %4$L;
    loop
        %11$s
        else
            perform pgq.insert_event(%4$L, v_type, v_data, %5$s, v_backup, null, null);
        end if;
        exit when v_inserted is null;
        v_type := %6$L;
        v_data := v_inserted;
        v_inserted := null;
    end loop;
    return null;
end;
$body$,
        i_table, skyq._shape(i_table), i_args, i_queue_name, skyq._logged_name(v_args.o_table_name),
        'I:' || v_key_list, v_new,
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
                skyq._change_expression(i_table, v_keys, '{}'), 'D:' || v_key_list, v_old, v_new,
                case when v_args.o_ignore <> '{}' then
                    format('elsif (%s) and not (%s) then
            return null;',
                           skyq._change_expression(i_table, v_args.o_ignore, '{}'),
                           skyq._change_expression(i_table, null, v_args.o_ignore))
                end,
                'U:' || v_key_list, v_new, case when v_args.o_backup then format('v_backup := %s;', v_old) end)
        end,
        case when v_refusal is not null then v_refusal else format('v_type := %L;
        v_data := %s;', 'D:' || v_key_list, v_old) end,
        v_queue.queue_id,
        (select string_agg(format($branch$%s v_slot = %s then
            insert into %s (ev_time, ev_type, ev_data, ev_extra1, ev_extra2)
            values (now(), v_type, v_data, %s, v_backup);$branch$,
                    case i when 0 then 'if' else e'\n        elsif' end, i,
                    pgq.quote_fqname(v_queue.queue_data_pfx || '_' || i), skyq._logged_name(v_args.o_table_name)),
                '' order by i)
           from generate_series(0, v_queue.queue_ntables - 1) i));
end;
$$;

create or replace function skyq._logged_name(i_name text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- The expression for the table's name in an event: the given one, else the table's own at the time of the change.
select coalesce(quote_literal(i_name), 'TG_TABLE_SCHEMA || ''.'' || TG_TABLE_NAME')
$$;
