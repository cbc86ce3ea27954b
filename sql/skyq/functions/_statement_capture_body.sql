create or replace function skyq._statement_capture_body(i_queue_name text, i_table oid, i_args text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the body of the trigger function that logs one table into one queue once per statement, from the tables
-- new_rows and old_rows. Like the row trigger's it runs with the writer's search_path.
-- Errors:    Cannot capture into queue "...": no such queue
--
-- Nothing says which old row became which new one, and nothing needs to: a key that is gone is a delete, a new one an
-- insert, and one that is on both sides an update, whatever row had it before. Whether there are others than updates
-- takes a join of both, or no look at all where the key trigger (skyq._key_is_watched()) has told of nothing: it calls the
-- same function for each row whose key has changed, which happens before that for the statement.
declare
    v_queue pgq.queue;
    v_args record;
    v_keys text[];
    v_key_list text;
    v_same_key text;
    v_is_gone text;
    v_is_new text;
    v_name text;
    v_is_as_written text := format('skyq._shape_holds(pg_catalog.regclass %L, %L)', i_table, skyq._shape(i_table));
    v_is_many text;
    v_events text[];        -- for easy rows, for all, for those of long statements without signs and with; I, U, D, and U that changes keys
    v_context record;
    v_set text := $set$v_jit := pg_catalog.current_setting('jit'); v_nestloop := pg_catalog.current_setting('enable_nestloop');
            v_type := pg_catalog.set_config('jit', 'off', true); v_type := pg_catalog.set_config('enable_nestloop', 'off', true);$set$;
    v_reset text := $set$v_type := pg_catalog.set_config('jit', v_jit, true); v_type := pg_catalog.set_config('enable_nestloop', v_nestloop, true);$set$;
begin
    select a.* into v_args from skyq._capture_args(i_args) a;
    select q.* into v_queue from pgq.queue q where q.queue_name = i_queue_name;
    if not found then
        raise exception 'Cannot capture into queue "%": no such queue', i_queue_name
              using hint = 'Create it with pgq.create_queue().';
    end if;
    v_keys := case when v_args.o_pkey is null then skyq._key_columns(i_table) else skyq._name_list(v_args.o_pkey) end;
    v_key_list := coalesce(v_args.o_pkey, array_to_string(v_keys, ','));
    v_name := case when v_args.o_table_name is null then 'v_name' else quote_literal(v_args.o_table_name) end;
    select string_agg(format('n.%1$s %2$s o.%1$s', skyq._quoted(a.attname), skyq._equality(a.atttypid)), ' and ')
      into v_same_key
      from pg_attribute a
     where a.attrelid = i_table and a.attname = any (v_keys) and a.attnum > 0 and not a.attisdropped;
    v_is_gone := format('not exists (select from new_rows n where %s)', v_same_key);
    v_is_new := format('not exists (select from old_rows o where %s)', v_same_key);
    -- as many distinct keys on both sides, unless it is no true key
    v_is_many := format('exists (select from old_rows o where %s)', v_is_gone)
              || case when v_args.o_pkey is not null then format(' or exists (select from new_rows n where %s)', v_is_new)
                      else '' end;

    select array_agg(array[
               skyq._statement_events(v_key_list, w.new_row, w.old_row, 'I'),
               skyq._statement_events(v_key_list, w.new_row, w.old_row, 'U'),
               skyq._statement_events(v_key_list, w.new_row, w.old_row, 'D'),
               format('%s where %s
                union all %s where not %s
                union all %s where %s',
                   skyq._statement_events(v_key_list, w.new_row, w.old_row, 'D'), v_is_gone,
                   skyq._statement_events(v_key_list, w.new_row, w.old_row, 'U'), v_is_new,
                   skyq._statement_events(v_key_list, w.new_row, w.old_row, 'I'), v_is_new)] order by w.nr)
      into v_events
      from (values
        (1, skyq._mixed_row_expression(i_table, 'n'), skyq._mixed_row_expression(i_table, 'o')),
        (2, skyq._row_expression(i_table, 'n', '{}'), skyq._row_expression(i_table, 'o', '{}')),
        (3, skyq._long_statement_expression(i_table, 'n', false), skyq._long_statement_expression(i_table, 'o', false)),
        (4, skyq._long_statement_expression(i_table, 'n', true), skyq._long_statement_expression(i_table, 'o', true)))
            w (nr, new_row, old_row);
    select c.* into v_context from skyq._context(i_table, true) c;

    return format($body$
-- Written by skyq.create_capture(), form 3; skyq.refresh_capture() writes it anew.
declare
    v_context pg_catalog.text := %20$s;
    v_slot pg_catalog.int4;
    v_key pg_catalog.text;
    v_type pg_catalog.text;
    v_columns pg_catalog.text[];
    v_settings pg_catalog.text[];
    v_jit pg_catalog.text;
    v_nestloop pg_catalog.text;
    v_is_moved pg_catalog.bool;
    v_is_long pg_catalog.bool;%1$s
begin
    if %2$s and v_context operator(pg_catalog.=) %13$L then
            %3$s
    elsif %2$s and v_context operator(pg_catalog.=) %14$L then
            if TG_LEVEL operator(pg_catalog.=) 'ROW' then
                v_type := pg_catalog.set_config(%26$L, 'changes', true);
                return null;
            elsif %27$s and (pg_catalog.current_setting(%26$L, true) operator(pg_catalog.=) 'changes') is not true then
                v_is_moved := false;
            elsif pg_catalog.pg_stat_get_xact_tuples_updated(TG_RELID) operator(pg_catalog.<=) 64
              and pg_catalog.current_setting('track_counts') operator(pg_catalog.=) 'on' then
                v_is_moved := %15$s;
            else
                %24$s
                v_is_moved := %15$s;
                %25$s
            end if;
            if v_is_moved then
                %24$s
            %16$s
                %25$s
            else
            %17$s
            end if;
    elsif %2$s and v_context operator(pg_catalog.=) %18$L then
            %19$s
    end if;

    if pg_catalog.current_setting('session_replication_role') operator(pg_catalog.=) 'local' then
        return null;
    end if;
    if TG_LEVEL operator(pg_catalog.=) 'ROW' then
        v_type := pg_catalog.set_config(%26$L, 'changes', true);
        return null;
    end if;
    if TG_OP operator(pg_catalog.=) 'TRUNCATE' then
        perform pgq.insert_event(%4$L, 'R', '', %5$s, null, null, null);
        return null;
    end if;
    %24$s
    <<logging>>
    begin
        if not (%6$s and %7$s) then
            %8$s
        end if;
        if TG_RELID operator(pg_catalog.<>) %9$L or not %6$s then
            -- Altered since this was written.
            if TG_OP operator(pg_catalog.<>) 'INSERT' then
                v_columns := array(select pg_catalog.json_object_keys(pg_catalog.row_to_json(o.*))
                                     from (select * from old_rows limit 1) o);
                for v_key in
                    execute skyq._rows_sql(TG_RELID, 'D', 'old_rows', v_columns, %10$L::pg_catalog.text[]) using %4$L, %5$s
                loop
                end loop;
            end if;
            if TG_OP operator(pg_catalog.<>) 'DELETE' then
                v_columns := array(select pg_catalog.json_object_keys(pg_catalog.row_to_json(n.*))
                                     from (select * from new_rows limit 1) n);
                for v_key in
                    execute skyq._rows_sql(TG_RELID, 'I', 'new_rows', v_columns, %10$L::pg_catalog.text[]) using %4$L, %5$s
                loop
                end loop;
            end if;
            exit logging;
        end if;
        if TG_OP operator(pg_catalog.=) 'INSERT' then
            %11$s
        elsif TG_OP operator(pg_catalog.=) 'DELETE' then
            %21$s
        elsif %15$s then
            %22$s
        else
            %23$s
        end if;
    end logging;
    %25$s
    if v_settings is not null then
        %12$s
    end if;
    return null;
end;
$body$,
        case when v_args.o_table_name is null then format(e'\n    v_name pg_catalog.text := %s;', skyq._logged_name(null)) end,
        format('skyq._full_shape_holds(pg_catalog.regclass %L, %L)', i_table, skyq._full_shape(i_table)),
        skyq._easy_statement(v_queue, i_table, v_name, 'inserted', v_events[1][1], v_events[3][1], v_events[4][1], v_set, v_reset),
        i_queue_name, v_name, v_is_as_written, (select format('%s operator(pg_catalog.=) %L', c.expression, c.shown) from skyq._context(i_table, false) c), skyq._set_settings(i_table), i_table,
        coalesce(i_args, '{}'), skyq._slot_inserts(v_queue, v_name, v_events[2][1], null), skyq._reset_settings(i_table),
        v_context.shown || 'INSERT', v_context.shown || 'UPDATE', v_is_many,
        skyq._slot_inserts(v_queue, v_name, v_events[1][4], v_reset || ' return null;'),
        skyq._easy_statement(v_queue, i_table, v_name, 'updated', v_events[1][2], v_events[3][2], v_events[4][2], v_set, v_reset),
        v_context.shown || 'DELETE',
        skyq._easy_statement(v_queue, i_table, v_name, 'deleted', v_events[1][3], v_events[3][3], v_events[4][3], v_set, v_reset),
        v_context.expression,
        skyq._slot_inserts(v_queue, v_name, v_events[2][3], null), skyq._slot_inserts(v_queue, v_name, v_events[2][4], null),
        skyq._slot_inserts(v_queue, v_name, v_events[2][2], null), v_set, v_reset,
        'skyq.key_' || i_table, format('skyq._key_is_watched(pg_catalog.regclass %L, %L)', i_table, v_keys));
end;
$$;

create or replace function skyq._mixed_row_expression(i_table oid, i_row text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- As skyq._row_expression(), where the first text of skyq._context() is as it must be.
select format('case when %s then %s else %s end', skyq._is_easy_row(i_table, i_row, '{}'),
              skyq._easy_row_expression(i_table, i_row, '{}', true, true),
              skyq._easy_row_expression(i_table, i_row, '{}', false, true))
$$;

create or replace function skyq._statement_events(i_keys text, i_new text, i_old text, i_op text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- Writes the query for the events of one kind: i_new and i_old are the expressions for the rows n and o, null for none.
select case when i_new is not null then
           format('select %L::pg_catalog.text as ev_type, %s as ev_data from %s', i_op || ':' || i_keys,
                  case i_op when 'D' then i_old else i_new end, case i_op when 'D' then 'old_rows o' else 'new_rows n' end)
       end
$$;

create or replace function skyq._slot_inserts(i_queue pgq.queue, i_name text, i_events text, i_ending text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the statements that put the events of a query (ev_type, ev_data) into the current event table. i_name is the
-- expression for the table's name. They end with i_ending, or do nothing when pgq.insert_event() has a say; with null
-- for i_ending they call that.
select case when not s.is_constant then format(e'v_slot := %s;\n            ', s.expression) else '' end
       || string_agg(format($branch$%s %s operator(pg_catalog.=) %s then
                insert into %s (ev_time, ev_type, ev_data, ev_extra1)
                select current_timestamp, e.ev_type, e.ev_data, %s from (%s) e;%s$branch$,
           case i when 0 then 'if' else e'\n            elsif' end,
           case when s.is_constant then s.expression else 'v_slot' end, i,
           pgq.quote_fqname(i_queue.queue_data_pfx || '_' || i), i_name,
           i_events, e'\n                ' || i_ending), '' order by i)
       || case when i_ending is null then format($branch$
            else
                perform pgq.insert_event(%L, e.ev_type, e.ev_data, %s, null, null, null) from (%s) e;$branch$,
           i_queue.queue_name, i_name, i_events) else '' end
       || e'\n            end if;'
  from generate_series(0, i_queue.queue_ntables - 1) i
 cross join (select e, e not like '(%' from skyq._slot_expression(i_queue) e) s (expression, is_constant)
 group by s.expression, s.is_constant
$$;

create or replace function skyq._easy_statement(
    i_queue pgq.queue, i_table oid, i_name text, i_op text, i_events text, i_plain_events text, i_sign_events text,
    i_set text, i_reset text)
returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the statements that log the rows of a statement (i_op is inserted, updated or deleted) as events of one kind,
-- and end the function, or do nothing when pgq.insert_event() has a say. i_plain_events and i_sign_events, or null, are for
-- more than 64 rows: a look at sixteen of them says which of the two, as each sign that words may hold costs.
--
-- How many rows a transaction has written costs little to know, how many a statement has a query. A plan is kept for
-- statements of any size: one made for a million rows must not be compiled each time, nor one made for a single row join
-- a million by nested loops, and i_set and i_reset see to that.
select format('if pg_catalog.pg_stat_get_xact_tuples_%s(TG_RELID) operator(pg_catalog.>) 64 then', i_op)
       || case when i_plain_events is null then format(e'\n                %s\n            end if;\n            %s
            if v_jit is not null then\n                %s\n            end if;', i_set,
                   skyq._slot_inserts(i_queue, i_name, i_events,
                       format(e'if v_jit is not null then\n                %s\n                end if;\n                return null;', i_reset)),
                   i_reset)
          else format($statements$
                v_is_long := exists (select from %1$s offset 64);
            end if;
            if v_is_long then
                %2$s
                if (select pg_catalog.bool_or(%3$s operator(pg_catalog.~) '[:@]')
                      from (select * from %1$s offset 64 limit 16) %4$s) then
            %5$s
                else
            %6$s
                end if;
                %7$s
            else
            %8$s
            end if;$statements$, r.name, i_set, skyq._words(i_table, left(r.name, 1), '{}'), left(r.name, 1),
                   skyq._slot_inserts(i_queue, i_name, i_sign_events, i_reset || e'\n                return null;'),
                   skyq._slot_inserts(i_queue, i_name, i_plain_events, i_reset || e'\n                return null;'), i_reset,
                   skyq._slot_inserts(i_queue, i_name, i_events, 'return null;')) end
  from (select case i_op when 'deleted' then 'old_rows' else 'new_rows' end) r (name)
$$;

create or replace function skyq._rows_sql(i_table oid, i_op text, i_rows text, i_columns text[], i_args text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the query that logs all of i_rows as events of one kind, whatever columns they have. $1 is the queue, $2 the
-- table's name.
declare
    v_pkey text := (skyq._capture_args(i_args)).o_pkey;
    v_keys text[] := case when v_pkey is null then skyq._key_columns(i_table) else skyq._name_list(v_pkey) end;
    v_refusal text := skyq._key_refusal(quote_literal(i_op), quote_literal(i_table::regclass), v_keys, i_columns);
begin
    if i_op = 'D' and v_refusal is not null and i_columns <> '{}' then
        execute format('do %L', 'begin ' || v_refusal || ' end');
    end if;
    return format('select pgq.insert_event($1, %L, %s, $2, null, null, null)::pg_catalog.text from %I r',
                  i_op || ':' || coalesce(v_pkey, array_to_string(v_keys, ',')),
                  skyq._any_row_expression('r.*', i_columns), i_rows);
end;
$$;
