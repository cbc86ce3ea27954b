create or replace function skyq.refresh_capture(i_queue_name text, i_table_name text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Writes the capture function of a table anew after its columns or its primary key changed. Until then changes are
-- logged all the same, but slowly. Takes no lock on the table.
-- Returns:   whether the table had changed
-- Errors:    Cannot refresh capture of table "...": not captured
declare
    v_table regclass := to_regclass(pgq.quote_fqname(i_table_name));
    v_capture skyq.capture;
begin
    select c.* into v_capture from skyq.capture c where c.queue_name = i_queue_name and c.table_oid = v_table;
    if not found then
        raise exception 'Cannot refresh capture of table "%" in queue "%": not captured', i_table_name, i_queue_name
              using hint = 'Call skyq.create_capture().';
    end if;
    perform skyq._write_capture(i_queue_name, v_table, v_capture.trigger_args, v_capture.mode);
    return v_capture.columns is distinct from skyq._full_shape(v_table);
end;
$$;
