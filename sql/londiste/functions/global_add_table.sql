create or replace function londiste.global_add_table(i_queue_name text, i_table_name text,
                                                     out ret_code integer, out ret_note text)
language plpgsql strict set search_path = pg_catalog, pg_temp as $$
-- Notes that a queue carries a table, whether this node has it or not.
-- Returns:   200 added or there already
-- Errors:    400 no such queue
declare
    v_name text := londiste.make_fqname(i_table_name);
begin
    perform 1 from pgq_node.node_info n where n.queue_name = i_queue_name;
    if not found then
        select 400, 'No such queue: ' || i_queue_name into ret_code, ret_note;
        return;
    end if;
    insert into londiste.table_info (queue_name, table_name) values (i_queue_name, v_name)
        on conflict (queue_name, table_name) do nothing;
    select 200, case when found then 'Table added: ' else 'Table already added: ' end || v_name into ret_code, ret_note;
end;
$$;
