create or replace function londiste.drop_table_triggers(i_queue_name text, i_table_name text) returns void
language plpgsql strict set search_path = pg_catalog, pg_temp as $$
-- Drops all triggers that log a table into this queue, and the function that skyq wrote for it. i_table_name is the name
-- in the queue; the triggers are on the table it has here.
-- Locks:     access exclusive on the table when it has such triggers, until commit
declare
    v_table oid;
begin
    select londiste.find_table_oid(coalesce(t.dest_table, t.table_name)) into v_table
      from londiste.table_info t
     where t.queue_name = i_queue_name and t.table_name = londiste.make_fqname(i_table_name);
    if not found then
        v_table := londiste.find_table_oid(londiste.make_fqname(i_table_name));
    end if;
    perform skyq._set_triggers(i_queue_name, v_table, '{}');
    perform skyq._forget_capture(i_queue_name, v_table);
end;
$$;
