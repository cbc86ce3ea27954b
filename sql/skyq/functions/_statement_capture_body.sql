create or replace function skyq._statement_capture_body(i_queue_name text, i_table oid, i_args text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the body of the trigger function that logs one table into one queue once per statement, from the tables
-- new_rows and old_rows.
-- Errors:    Cannot capture into queue "…": no such queue
--
-- Nothing says which old row became which new one, and nothing needs to: a key that is gone is a delete, a new one an
-- insert, and one that is on both sides an update, whatever row had it before.
declare
    v_queue record;
    v_args record;
    v_keys text[];
    v_key_list text;
    v_same_key text;
    v_is_gone text;
    v_is_new text;
    v_name text;
    v_insert text;
    v_update text;
    v_delete text;
    v_move text;
begin
    select a.* into v_args from skyq._capture_args(i_args) a;
    select q.queue_id, q.queue_ntables, q.queue_data_pfx into v_queue from pgq.queue q where q.queue_name = i_queue_name;
    if not found then
        raise exception 'Cannot capture into queue "%": no such queue', i_queue_name
              using hint = 'Create it with pgq.create_queue().';
    end if;
    v_keys := case when v_args.o_pkey is null then skyq._key_columns(i_table) else skyq._name_list(v_args.o_pkey) end;
    v_key_list := coalesce(v_args.o_pkey, array_to_string(v_keys, ','));
    v_name := skyq._logged_name(v_args.o_table_name);
    select string_agg(format('n.%1$s %2$s o.%1$s', skyq._quoted(a.attname), skyq._equality(a.atttypid)), ' and ')
      into v_same_key
      from pg_attribute a
     where a.attrelid = i_table and a.attname = any (v_keys) and a.attnum > 0 and not a.attisdropped;
    v_is_gone := format('not exists (select from new_rows n where %s)', v_same_key);
    v_is_new := format('not exists (select from old_rows o where %s)', v_same_key);

    v_insert := format('select %L as ev_type, %s as ev_data from new_rows n', 'I:' || v_key_list,
                       skyq._row_expression(i_table, 'n', '{}'));
    v_update := format('select %L as ev_type, %s as ev_data from new_rows n', 'U:' || v_key_list,
                       skyq._row_expression(i_table, 'n', '{}'));
    v_delete := format('select %L as ev_type, %s as ev_data from old_rows o', 'D:' || v_key_list,
                       skyq._row_expression(i_table, 'o', '{}'));
    v_move := format(
        '%s where %s
            union all %s where not %s
            union all %s where %s',
        v_delete, v_is_gone, v_update, v_is_new, v_insert, v_is_new);

    return format($body$
-- Written by skyq.create_capture(); skyq.refresh_capture() writes it anew.
declare
    v_slot integer;
    v_key text;
    v_columns text[];
    v_name text := %5$s;
begin
    if current_setting('session_replication_role') = 'local' then
        return null;
    end if;
    if TG_OP = 'TRUNCATE' then
        perform pgq.insert_event(%4$L, 'R', '', v_name, null, null, null);
        return null;
    end if;

    if TG_RELID <> oid %1$L or not skyq._shape_holds(regclass %1$L, %2$L) then
        -- Altered since this was written.
        if TG_OP <> 'INSERT' then
            v_columns := array(select json_object_keys(row_to_json(o)) from (select * from old_rows limit 1) o);
            for v_key in execute skyq._rows_sql(TG_RELID, 'D', 'old_rows', v_columns, %3$L::text[]) using %4$L, v_name loop
            end loop;
        end if;
        if TG_OP <> 'DELETE' then
            v_columns := array(select json_object_keys(row_to_json(n)) from (select * from new_rows limit 1) n);
            for v_key in execute skyq._rows_sql(TG_RELID, 'I', 'new_rows', v_columns, %3$L::text[]) using %4$L, v_name loop
            end loop;
        end if;
        return null;
    end if;

    -- The rows were written just now, so the transaction has its id: see the row capture.
    select case when q.queue_per_tx_limit is null and not q.queue_disable_insert then q.queue_cur_table end into v_slot
      from pgq.queue q where q.queue_id = %6$s and q.queue_name = %4$L;
    if TG_OP = 'INSERT' then
        %7$s
    elsif TG_OP = 'DELETE' then
        %8$s
    elsif exists (select from old_rows o where %11$s)%12$s then
        %9$s
    else
        %10$s
    end if;
    return null;
end;
$body$,
        i_table, skyq._shape(i_table), i_args, i_queue_name, v_name, v_queue.queue_id,
        skyq._slot_inserts(i_queue_name, 'v_name', v_insert), skyq._slot_inserts(i_queue_name, 'v_name', v_delete),
        skyq._slot_inserts(i_queue_name, 'v_name', v_move), skyq._slot_inserts(i_queue_name, 'v_name', v_update),
        v_is_gone,
        -- as many distinct keys on both sides, unless it is no true key
        case when v_args.o_pkey is not null then format(' or exists (select from new_rows n where %s)', v_is_new) end);
end;
$$;

create or replace function skyq._slot_inserts(i_queue_name text, i_name text, i_events text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the statements that put the events of a query (ev_type, ev_data) into event table v_slot, or, when it is null,
-- through pgq.insert_event(), which knows why. i_name is the variable with the table's name.
select string_agg(format($branch$%s v_slot = %s then
            insert into %s (ev_time, ev_type, ev_data, ev_extra1)
            select now(), e.ev_type, e.ev_data, %s from (%s) e;$branch$,
           case i when 0 then 'if' else e'\n        elsif' end, i, pgq.quote_fqname(q.queue_data_pfx || '_' || i), i_name,
           i_events), '' order by i)
       || format($branch$
        else
            perform pgq.insert_event(%L, e.ev_type, e.ev_data, %s, null, null, null) from (%s) e;
        end if;$branch$, i_queue_name, i_name, i_events)
  from pgq.queue q, generate_series(0, q.queue_ntables - 1) i
 where q.queue_name = i_queue_name
 group by q.queue_name
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
    return format('select pgq.insert_event($1, %L, %s, $2, null, null, null)::text from %I r',
                  i_op || ':' || coalesce(v_pkey, array_to_string(v_keys, ',')),
                  skyq._any_row_expression('r', i_columns), i_rows);
end;
$$;
