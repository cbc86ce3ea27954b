create or replace function skyq.drop_capture(i_queue_name text, i_table_name text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Ends the capture of a table: drops its triggers and its function.
-- Returns:   1, or 0 when there was none
declare
    v_table regclass := to_regclass(pgq.quote_fqname(i_table_name));
begin
    perform 1 from skyq.capture c
      where c.queue_name = i_queue_name and (c.table_oid = v_table or v_table is null and c.table_name = i_table_name);
    if not found then
        return 0;
    end if;
    if v_table is not null then
        perform skyq._set_triggers(i_queue_name, v_table, '{}');
    end if;
    perform skyq._forget_capture(i_queue_name, v_table);
    return 1;
end;
$$;
