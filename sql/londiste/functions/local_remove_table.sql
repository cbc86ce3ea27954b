create or replace function londiste.local_remove_table(i_queue_name text, i_table_name text,
                                                       out ret_code integer, out ret_note text)
language plpgsql strict as $$
-- Removes a table from this node; on the root from the whole cascade. Its triggers go, and the sequences of its columns.
-- Rows stay, except those of a half-done copy that has dropped indexes: these are made again on an emptied table.
-- Returns:   200 removed
-- Errors:    400 not known, not added here
-- Locks:     access exclusive on the table, until commit
--
-- No search_path: dropped_ddl is run as the copy wrote it.
declare
    v_name text := londiste.make_fqname(i_table_name);
    v_known londiste.table_info;
    v_dest text;
    v_is_root boolean;
    v_seq text;
begin
    select t.* into v_known from londiste.table_info t where t.queue_name = i_queue_name and t.table_name = v_name;
    if not found then
        select 400, 'Table not found: ' || v_name into ret_code, ret_note;
        return;
    end if;
    v_is_root := pgq_node.is_root_node(i_queue_name);
    if not v_is_root and not v_known.local then
        select 400, 'Table not registered locally: ' || v_name into ret_code, ret_note;
        return;
    end if;

    v_dest := coalesce(v_known.dest_table, v_name);
    perform londiste.drop_table_triggers(i_queue_name, v_name);    -- first: those of a leaf refuse the truncate
    if v_known.local and v_known.dropped_ddl is not null and londiste.find_table_oid(v_dest) is not null then
        execute 'truncate only ' || londiste.quote_fqname(v_dest);
        execute v_known.dropped_ddl;
    end if;
    for v_seq in
        select n.nspname || '.' || c.relname
          from pg_catalog.pg_depend d
          join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
           and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjsubid > 0
           and d.refobjid = londiste.find_table_oid(v_dest)
    loop
        perform 1 from londiste.seq_info s
          where s.queue_name = i_queue_name and s.seq_name = v_seq and (s.local or v_is_root);
        if found then
            perform 1 from londiste.local_remove_seq(i_queue_name, v_seq);
        end if;
    end loop;

    if v_is_root then
        delete from londiste.table_info t where t.queue_name = i_queue_name and t.table_name = v_name;
        perform londiste.root_notify_change(i_queue_name, 'londiste.remove-table', v_name);
    else
        update londiste.table_info t
           set local = false, merge_state = null, custom_snapshot = null, dropped_ddl = null, table_attrs = null,
               dest_table = null
         where t.queue_name = i_queue_name and t.table_name = v_name;
    end if;
    select 200, 'Table removed: ' || v_name into ret_code, ret_note;
end;
$$;
