create or replace function pgq._trigger_events(
    i_format text, i_when text, i_level text, i_op text, i_table_id oid, i_schema text, i_table text, i_args text[],
    i_old text, i_new text, i_old_json json, i_new_json json)
returns text[]
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
-- Makes the events of one fired trigger. The one place that knows arguments, keys and what counts as a change.
-- i_format:  url, sql or json
-- i_when, i_level, i_op, i_table_id, i_schema, i_table, i_args: TG_WHEN ... TG_ARGV of the trigger
-- i_old, i_new: the rows' texts, see pgq._row_values; whatever for a row that the operation does not have
-- i_old_json, i_new_json: the rows by row_to_json(), or null. Needed where DateStyle is not ISO (json), and where the
--            transaction's snapshot may be older than the table's definition, to see whether it still fits the rows
-- Returns:   first 'expressions' when the arguments hold any, else 'plain'; then per event 7 elements: operation (its
--            row is OLD for DELETE, else NEW), ev_type, ev_data, ev_extra1 ... ev_extra4. No event: nothing to log. An
--            UPDATE that changes the key gives two, a DELETE and an INSERT
-- Errors:    wrong use of the trigger; 40001 the table was altered after the transaction's snapshot
-- Called by: pgq.logutriga, pgq.sqltriga, pgq.jsontriga, with the rights of whoever writes the table
declare
    v_table_name text := i_schema || '.' || i_table;
    v_arg text;
    v_skip boolean := false;
    v_backup boolean := false;
    v_deny boolean := false;
    v_has_expression boolean := false;
    v_ignore_text text;
    v_ignore text[];            -- columns; not null: there is a list
    v_key_text text;            -- as ev_type shows it
    v_key_names text[];         -- as ev_type of jsontriga shows them
    v_key_columns text[];
    v_key_numbers int2[];
    v_key integer[] := '{}';    -- positions in v_names
    v_key_last integer := 0;    -- the highest of them
    v_names text[];             -- live columns in table order; so are the next four and the rows
    v_numbers int2[];
    v_types oid[];
    v_collations oid[];
    v_generated text[];
    v_position integer;
    v_name text;
    v_head text;
    v_old text[];
    v_new text[];
    v_row text[];
    v_changed boolean[];
    v_key_changed boolean := false;
    v_ignored_changed boolean := false;
    v_other_changed boolean := false;
    v_shown integer[];          -- positions of data columns
    v_shows_all boolean;
    v_has_magic boolean;        -- columns that stand for a field of the event: no data, not part of the key
    v_has_virtual boolean;      -- generated columns that are not stored: rows do not have their values
    v_shown_names text[];
    v_shown_types oid[];
    v_shown_row text[];
    v_ops text[] := array[i_op];
    v_op text;
    v_fields text[];            -- ev_type, ev_data, ev_extra1 ... ev_extra4
    v_events text[];
begin
    if i_level <> 'ROW' and i_op <> 'TRUNCATE' then
        raise exception 'pgq Ins/Upd/Del trigger must be fired FOR EACH ROW';
    elsif i_args[0] is null then
        raise exception 'pgq trigger must have destination queue as argument';
    end if;

    -- arguments
    for v_index in 1 .. coalesce(array_upper(i_args, 1), 0) loop
        v_arg := i_args[v_index];
        if v_arg = 'SKIP' then
            v_skip := true;
        elsif v_arg = 'backup' then
            v_backup := true;
        elsif v_arg = 'deny' then
            v_deny := true;
        elsif starts_with(v_arg, 'ignore=') then
            v_ignore_text := substr(v_arg, 8);
        elsif starts_with(v_arg, 'pkey=') then
            v_key_text := substr(v_arg, 6);
        elsif v_arg ~ '^(ev_type|ev_data|ev_extra[1-4]|when)=' then
            v_has_expression := true;
        else
            raise exception 'bad param to pgq trigger'
                  using detail = format('Argument "%s" of a trigger on "%s".', v_arg, v_table_name),
                        hint = 'Use SKIP, backup, deny, ignore=, pkey=, ev_type=, ev_data=, ev_extra1= to 4= or when=.';
        end if;
    end loop;
    if i_op = 'TRUNCATE' then
        if v_has_expression then
            raise exception 'Custom expressions do not make sense for truncater trigger';
        elsif v_ignore_text is not null then
            raise exception 'Column ignore does not make sense for truncate trigger';
        elsif v_key_text is not null then
            raise exception 'Custom pkey_list does not make sense for truncate trigger';
        elsif v_backup then
            raise exception 'Backup does not make sense for truncate trigger';
        end if;
    end if;

    -- Columns and key are looked up at every firing: DDL of any session counts at once, and a test whether something
    -- remembered still holds would cost the same. Without the settings above the server would read small catalogues
    -- whole, or plan this anew for each row of a table with few columns.
    select array_agg(a.attname), array_agg(a.attnum), array_agg(a.atttypid), bool_or(a.attgenerated = 'v'),
           (select (i.indkey::int2[])[0:i.indnkeyatts - 1]
              from pg_catalog.pg_index i where i.indrelid = i_table_id and i.indisprimary)
      into v_names, v_numbers, v_types, v_has_virtual, v_key_numbers
      from (select a.attname::text, a.attnum, a.atttypid, a.attgenerated from pg_catalog.pg_attribute a
             where a.attrelid = i_table_id and a.attnum > 0 and not a.attisdropped order by a.attnum) a;
    v_names := coalesce(v_names, '{}');
    v_has_magic := strpos(array_to_string(v_names, ','), '_pgq_ev_') > 0;
    if v_ignore_text is not null then
        v_ignore := pgq._listed_columns(v_ignore_text, v_names);
    end if;
    if v_key_text is null then
        for v_index in 1 .. coalesce(cardinality(v_key_numbers), 0) loop
            v_key_columns := array_append(v_key_columns,
                                          v_names[array_position(v_numbers, v_key_numbers[v_index])]);
        end loop;
        v_key_names := v_key_columns;
        v_key_text := coalesce(array_to_string(v_key_names, ','), '');
    else
        v_key_names := string_to_array(v_key_text, ',');
        v_key_columns := pgq._listed_columns(v_key_text, v_names);
        if i_op <> 'INSERT' then
            select w.word into v_name
              from regexp_split_to_table(v_key_text, e'[, \t\n\x0b\f\r]+') w (word)
             where w.word not in (select regexp_split_to_table(u.name, e'[, \t\n\x0b\f\r]+')
                                    from unnest(v_key_columns || ''::text) u (name))
             limit 1;
            if found then
                raise exception 'Cannot log % on table "%": pkey= names column "%", which the table does not have',
                      i_op, v_table_name, v_name using hint = 'Create the trigger anew with the right names.';
            end if;
        end if;
    end if;
    for v_index in 1 .. coalesce(cardinality(v_key_columns), 0) loop
        if not (v_has_magic and starts_with(v_key_columns[v_index], '_pgq_ev_')) then
            v_position := array_position(v_names, v_key_columns[v_index]);
            v_key := array_append(v_key, v_position);
            v_key_last := greatest(v_key_last, v_position);
        end if;
    end loop;
    if i_op in ('UPDATE', 'DELETE') and cardinality(v_key) = 0 then
        raise exception 'Update/Delete on table without pkey'
              using detail = format('Table "%s".', v_table_name),
                    hint = 'Add a primary key, or name key columns with the trigger argument pkey=.';
    elsif v_skip and i_when = 'AFTER' then
        raise exception 'SKIP does not work in AFTER trigger.';
    elsif v_deny then
        raise exception 'Table ''%'' to queue ''%'': change not allowed (%)', v_table_name, i_args[0], i_op;
    end if;

    if i_op = 'TRUNCATE' then
        return array['plain', i_op] || case i_format when 'json'
            then array[pgq._json_type(i_op, i_schema, i_table, v_key_names), '{}'] else array['R', ''] end
            || array[v_table_name, null, null, null];
    end if;

    -- does the catalogue, as this transaction sees it, still describe the rows?
    if i_new_json is not null or i_old_json is not null then
        if v_names <> array(select json_object_keys(coalesce(i_new_json, i_old_json))) then
            raise exception 'Cannot log % on table "%": it was altered after this transaction''s snapshot was taken',
                  i_op, v_table_name using errcode = 'serialization_failure', hint = 'Run the transaction again.';
        end if;
    end if;

    -- rows, split as far as needed
    if i_op <> 'DELETE' then
        v_new := pgq._row_values(i_new);
    end if;
    if i_op = 'DELETE' then
        v_old := pgq._row_values(i_old);
    elsif i_op = 'UPDATE' then
        if not v_backup and v_ignore is null and i_format <> 'sql' and i_when = 'AFTER' then
            -- Only the key matters. Mostly it comes first and stays, which shows without splitting the old row.
            v_head := array_to_string((string_to_array(i_new, ',', ''))[1:v_key_last], ',', '') || ',';
        end if;
        if v_head is null or strpos(v_head, '"') > 0 or not starts_with(i_old, v_head) then
            v_old := pgq._row_values(i_old);
        end if;
    end if;
    if v_has_virtual or i_op = 'UPDATE' and v_old is not null then
        select array_agg(a.attcollation), array_agg(a.attgenerated) into v_collations, v_generated
          from (select a.attcollation, a.attgenerated::text from pg_catalog.pg_attribute a
                 where a.attrelid = i_table_id and a.attnum > 0 and not a.attisdropped order by a.attnum) a;
    end if;

    -- what an update changed
    if i_op = 'UPDATE' and v_old is not null then
        for v_index in 1 .. cardinality(v_names) loop
            -- A BEFORE trigger runs before generated columns are computed: until then they have their old value.
            if i_when = 'BEFORE' and v_generated[v_index] = 's' then
                v_new[v_index] := v_old[v_index];
            end if;
            if v_index = any (v_key) or v_ignore is not null or i_format = 'sql' then
                v_changed[v_index] := pgq._is_changed(v_types[v_index], v_collations[v_index],
                                                      v_old[v_index], v_new[v_index]);
                if v_changed[v_index] then
                    v_key_changed := v_key_changed or v_index = any (v_key);
                    if v_names[v_index] = any (v_ignore) or v_has_magic and starts_with(v_names[v_index], '_pgq_ev_') then
                        v_ignored_changed := true;
                    else
                        v_other_changed := true;
                    end if;
                end if;
            end if;
        end loop;
        if v_key_changed then
            v_ops := '{DELETE,INSERT}';
        elsif v_ignored_changed and not v_other_changed then
            return '{plain}';
        end if;
    end if;

    -- columns that are data
    v_shows_all := v_ignore is null and v_has_virtual is not true and not v_has_magic;
    v_shown_names := v_names;
    v_shown_types := v_types;
    if not v_shows_all then
        v_shown := array(select u.position from unnest(v_names) with ordinality u (name, position)
                          where not starts_with(u.name, '_pgq_ev_') and u.name <> all (coalesce(v_ignore, '{}'))
                            and v_generated[u.position] is distinct from 'v'
                          order by u.position);
        v_shown_names := array(select v_names[u.position] from unnest(v_shown) u (position));
        v_shown_types := array(select v_types[u.position] from unnest(v_shown) u (position));
    end if;

    v_events := array[case when v_has_expression then 'expressions' else 'plain' end];
    foreach v_op in array v_ops loop
        v_row := case v_op when 'DELETE' then v_old else v_new end;
        v_shown_row := case when v_shows_all then v_row
                            else array(select v_row[u.position] from unnest(v_shown) u (position)) end;
        v_fields := array[null, null, v_table_name, null, null, null];
        if i_format = 'url' then
            v_fields[1] := left(v_op, 1) || ':' || v_key_text;
            v_fields[2] := pgq._urlencode_row(v_shown_names, v_shown_row);
        elsif i_format = 'json' then
            v_fields[1] := pgq._json_type(v_op, i_schema, i_table, v_key_names);
            v_fields[2] := pgq._json_row(v_shown_names, v_shown_types, v_shown_row,
                                         case v_op when 'DELETE' then i_old_json else i_new_json end);
        else
            v_fields[1] := left(v_op, 1);
            v_fields[2] := pgq._sql_row(v_op, v_names, v_shown, v_changed, v_key, v_old, v_new);
        end if;
        if v_backup and v_op = 'UPDATE' then
            v_shown_row := case when v_shows_all then v_old
                                else array(select v_old[u.position] from unnest(v_shown) u (position)) end;
            v_fields[4] := case i_format
                           when 'json' then pgq._json_row(v_shown_names, v_shown_types, v_shown_row, i_old_json)
                           else pgq._urlencode_row(v_shown_names, v_shown_row) end;
        end if;
        if v_has_magic then
            for v_index in 1 .. cardinality(v_names) loop
                if starts_with(v_names[v_index], '_pgq_ev_') then
                    v_position := array_position('{_pgq_ev_type,_pgq_ev_data,_pgq_ev_extra1,_pgq_ev_extra2,'
                                                 '_pgq_ev_extra3,_pgq_ev_extra4}'::text[], v_names[v_index]);
                    if v_position is null then
                        raise exception 'Unknown magic column: %', v_names[v_index];
                    end if;
                    v_fields[v_position] := v_row[v_index];
                end if;
            end loop;
        end if;
        v_events := v_events || v_op || v_fields;
    end loop;
    return v_events;
end;
$$;
