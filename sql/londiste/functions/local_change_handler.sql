create or replace function londiste.local_change_handler(
    i_queue_name text, i_table_name text, i_trg_args text[], i_table_attrs text, out ret_code integer, out ret_note text)
language plpgsql as $$
-- Gives a table other attributes and triggers.
-- Returns:   200 changed
-- Errors:    400 no such queue; 404 no such table here; those of create_trigger(). Nothing is changed then.
-- Locks:     as create_trigger()
declare
    v_name text := londiste.make_fqname(i_table_name);
    v_dest text;
    v_node_type text;
    v_trigger record;
begin
    select n.node_type into v_node_type from pgq_node.node_info n where n.queue_name = i_queue_name;
    if not found then
        select 400, 'No such set: ' || i_queue_name into ret_code, ret_note;
        return;
    end if;
    select coalesce(t.dest_table, t.table_name) into v_dest
      from londiste.table_info t where t.queue_name = i_queue_name and t.table_name = v_name and t.local;
    if not found then
        select 404, 'no such local table: ' || v_name into ret_code, ret_note;
        return;
    end if;
    select t.* into v_trigger from londiste.create_trigger(i_queue_name, v_name, i_trg_args, v_dest, v_node_type) t;
    if v_trigger.ret_code >= 300 then
        select v_trigger.ret_code, pg_catalog.format('Trigger creation failed for table %s: %s', v_name, v_trigger.ret_note)
          into ret_code, ret_note;
        return;
    elsif v_trigger.ret_code = 201 then
        perform londiste.drop_table_triggers(i_queue_name, v_name);
    end if;
    update londiste.table_info t set table_attrs = i_table_attrs
     where t.queue_name = i_queue_name and t.table_name = v_name;
    select 200, 'Handler changed for table: ' || v_name into ret_code, ret_note;
end;
$$;
