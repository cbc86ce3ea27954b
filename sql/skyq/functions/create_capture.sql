create or replace function skyq.create_capture(i_queue_name text, i_table_name text, i_args text[],
                                               i_mode text default 'auto') returns text
language plpgsql set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
-- Logs the changes of a table into a queue by a trigger function written for this table. The events are those of
-- pgq.logutriga; an update of the key is logged as delete and insert. Other triggers that write this table to this queue
-- are replaced. Called again it writes the function anew.
-- Modes:     row, also for auto: once per row; statement: once per statement, several times cheaper for those of ten rows
--            and more; only on request, see skyq._statement_hazard()
-- Returns:   how it captures: row or statement; null, and nothing was done, when an argument, a magic column or the kind
--            of table needs the generic trigger
-- Errors:    no such table; no such queue; bad mode; not safe by statement
-- Locks:     as skyq._set_triggers()
-- Called by: londiste.create_trigger()
declare
    v_table regclass := to_regclass(pgq.quote_fqname(i_table_name));
    v_mode text := case coalesce(i_mode, 'auto') when 'auto' then 'row' else i_mode end;
    v_hazard text;
    v_function text;
begin
    if v_table is null then
        raise exception 'Cannot capture table "%": no such table', i_table_name;
    end if;
    if v_mode not in ('row', 'statement') then
        raise exception 'Cannot capture table "%": bad mode "%"', i_table_name, i_mode
              using hint = 'Use auto, row or statement.';
    end if;
    if not (skyq._capture_args(i_args)).o_special
       or not exists (select from pg_class r where r.oid = v_table and r.relkind = 'r')
       or exists (select from pg_attribute a
                   where a.attrelid = v_table and starts_with(a.attname, '_pgq_ev_') and not a.attisdropped) then
        return null;
    end if;
    v_hazard := case when v_mode = 'statement' then skyq._statement_hazard(v_table, i_args) end;
    if v_hazard is not null then
        raise exception 'Cannot capture table "%" by statement: %', i_table_name, v_hazard using hint = 'Use mode row.';
    end if;

    perform skyq._forget_capture(i_queue_name, null);    -- of tables that are gone
    v_function := skyq._write_capture(i_queue_name, v_table, i_args, v_mode);
    perform skyq._set_triggers(i_queue_name, v_table, array(
        select skyq._trigger_definition(skyq._trigger_name(i_queue_name, t.suffix), t.event, v_table, t.scope,
                                        'skyq.' || v_function, array[i_queue_name] || t.args)
          from (values
            ('row', '', 'AFTER INSERT OR DELETE OR UPDATE', 'FOR EACH ROW', i_args),
            ('statement', '', 'AFTER INSERT', 'REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT', i_args),
            ('statement', '_upd', 'AFTER UPDATE',
                'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT', i_args),
            ('statement', '_key', 'AFTER UPDATE OF ' || skyq._watched_key(v_table, i_args),
                'FOR EACH ROW ' || skyq._when_key_moves(skyq._captured_key(v_table, i_args)), '{}'),
            ('statement', '_del', 'AFTER DELETE', 'REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT', i_args),
            (v_mode, '_truncate', 'AFTER TRUNCATE', 'FOR EACH STATEMENT', '{}')) t (mode, suffix, event, scope, args)
         where t.mode = v_mode and t.event is not null));
    return v_mode;
end;
$$;

create or replace function skyq._captured_key(i_table oid, i_args text[]) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The columns that tell the rows of a table apart: those of pkey=, else its primary key's.
select case when c.o_pkey is null then skyq._key_columns(i_table) else skyq._name_list(c.o_pkey) end
  from skyq._capture_args(i_args) c
$$;

create or replace function skyq._watched_key(i_table oid, i_args text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The columns of a table's key as the list of a trigger that tells of changed keys.
-- Returns:   null where it would not tell of all: a generated column changes by itself
select string_agg(quote_ident(k.name), ', ' order by k.nr)
  from unnest(skyq._captured_key(i_table, i_args)) with ordinality k (name, nr)
  join pg_attribute a on a.attrelid = i_table and a.attname = k.name
having bool_and(a.attgenerated = '')
$$;

create or replace function skyq._when_key_moves(i_keys text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The condition of that trigger, as pg_get_triggerdef() writes it: keys that are not the same to the byte.
select format('WHEN (record_image_ne(ROW(%s), ROW(%s)))', string_agg('old.' || quote_ident(k.name), ', ' order by k.nr),
              string_agg('new.' || quote_ident(k.name), ', ' order by k.nr))
  from unnest(i_keys) with ordinality k (name, nr)
$$;
