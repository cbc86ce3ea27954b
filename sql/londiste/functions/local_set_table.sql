create or replace function londiste.local_set_table_state(
    i_queue_name text, i_table_name text, i_snapshot text, i_merge_state text, out ret_code integer, out ret_note text)
language plpgsql as $$
-- Moves a table to another state of its copy; null means not copied yet. A table that is in sync no longer keeps its old
-- rows at the next copy, whatever it was added with.
-- Returns:   200 set
-- Errors:    404 no such table here
declare
    v_name text := londiste.make_fqname(i_table_name);
begin
    update londiste.table_info t
       set custom_snapshot = i_snapshot, merge_state = i_merge_state,
           dropped_ddl = case when i_merge_state in ('in-copy', 'catching-up') then t.dropped_ddl end,
           table_attrs = case when i_merge_state = 'ok' then londiste._attrs_without(t.table_attrs, 'skip_truncate')
                              else t.table_attrs end
     where t.queue_name = i_queue_name and t.table_name = v_name and t.local;
    if not found then
        select 404, 'No such table: ' || v_name into ret_code, ret_note;
    else
        select 200, pg_catalog.format('Table %s state set to %s', v_name,
                                      coalesce(pg_catalog.quote_literal(i_merge_state), 'NULL')) into ret_code, ret_note;
    end if;
end;
$$;

create or replace function londiste._attrs_without(i_attrs text, i_key text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- Urlencoded attributes without one of them.
-- Returns:   null when none is left
select nullif(string_agg(a.attr, '&' order by a.nr), '')
  from regexp_split_to_table(i_attrs, '&') with ordinality a (attr, nr)
 where split_part(a.attr, '=', 1) <> i_key
$$;

create or replace function londiste.local_set_table_attrs(
    i_queue_name text, i_table_name text, i_table_attrs text, out ret_code integer, out ret_note text)
language plpgsql as $$
-- Sets a table's attributes, urlencoded.
-- Returns:   200 set
-- Errors:    404 no such table here
declare
    v_name text := londiste.make_fqname(i_table_name);
begin
    update londiste.table_info t set table_attrs = i_table_attrs
     where t.queue_name = i_queue_name and t.table_name = v_name and t.local;
    if found then
        select 200, 'Table attributes set: ' || v_name into ret_code, ret_note;
    else
        select 404, 'no such local table: ' || v_name into ret_code, ret_note;
    end if;
end;
$$;

create or replace function londiste.local_set_table_struct(
    i_queue_name text, i_table_name text, i_dropped_ddl text, out ret_code integer, out ret_note text)
language plpgsql as $$
-- Keeps the statements that make again what a running copy dropped; null when they were run.
-- Returns:   200 kept
-- Errors:    404 no such table here; a check violation when no copy of the table is running
declare
    v_name text := londiste.make_fqname(i_table_name);
begin
    update londiste.table_info t set dropped_ddl = i_dropped_ddl
     where t.queue_name = i_queue_name and t.table_name = v_name and t.local;
    if found then
        select 200, 'Table struct stored: ' || v_name into ret_code, ret_note;
    else
        select 404, 'no such local table: ' || v_name into ret_code, ret_note;
    end if;
end;
$$;
