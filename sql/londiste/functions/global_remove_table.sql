create or replace function londiste.global_remove_table(i_queue_name text, i_table_name text,
                                                        out ret_code integer, out ret_note text)
language plpgsql strict set search_path = pg_catalog, pg_temp as $$
-- Forgets a table that the queue no longer carries: registration and triggers go, rows stay.
-- Returns:   200 removed
-- Errors:    400 not known
declare
    v_name text := londiste.make_fqname(i_table_name);
begin
    delete from londiste.table_info t where t.queue_name = i_queue_name and t.table_name = v_name;
    if found then
        select 200, 'Table removed: ' || v_name into ret_code, ret_note;
    else
        select 400, 'Table not found: ' || v_name into ret_code, ret_note;
    end if;
end;
$$;
