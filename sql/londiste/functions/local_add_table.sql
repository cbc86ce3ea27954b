create or replace function londiste.local_add_table(
    i_queue_name text, i_table_name text, i_trg_args text[], i_table_attrs text, i_dest_table text,
    out ret_code integer, out ret_note text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Adds a table to this node; on the root for the whole cascade. The rows come by a copy, unless the state says otherwise.
-- Arguments: i_dest_table the table's name here, null for the same. Words in i_trg_args that are for this function:
--            expect_sync the rows are here already; skip_truncate the copy keeps what is here; merge_all, no_merge
--            see below; virtual_table register only, there is no table; those of create_trigger()
-- Returns:   200 added or there already; 301 added, but another trigger fires first
-- Errors:    400 no such queue, no primary key, partitioned; 404 no such table, not in the queue; 405 unclear what to
--            merge, table in use for another; 410 added with other
--            arguments; those of create_trigger(). Nothing is changed then.
-- Locks:     as create_trigger()
declare
    v_name text := londiste.make_fqname(i_table_name);
    v_dest text := londiste.make_fqname(coalesce(i_dest_table, i_table_name));
    v_shown text := v_name || case when v_dest <> v_name then '(' || v_dest || ')' else '' end;
    v_args text[] := coalesce(i_trg_args, '{}');
    v_is_virtual boolean := 'virtual_table' = any (v_args);
    v_is_synced boolean := 'expect_sync' = any (v_args) or v_is_virtual;
    v_attrs text := i_table_attrs;
    v_node record;
    v_known londiste.table_info;
    v_other record;
    v_trigger record;
    v_first text;
begin
    select n.queue_name, n.node_type, n.combined_queue, c.node_type as combined_type into v_node
      from pgq_node.node_info n left join pgq_node.node_info c on c.queue_name = n.combined_queue
     where n.queue_name = i_queue_name;
    if not found then
        select 400, 'No such set: ' || coalesce(i_queue_name, 'NULL') into ret_code, ret_note;
        return;
    end if;
    if 'merge_all' = any (v_args) and 'no_merge' = any (v_args) then
        select 405, 'Cannot use merge-all and no-merge together' into ret_code, ret_note;
        return;
    end if;

    if not v_is_virtual then
        if londiste.find_rel_oid(v_dest, 'p') is not null then
            select 400, 'Table is partitioned, add its partitions instead: ' || v_dest into ret_code, ret_note;
            return;
        elsif londiste.find_table_oid(v_dest) is null then
            select 404, 'Table does not exist: ' || v_dest into ret_code, ret_note;
            return;
        elsif londiste.find_column_types(v_dest) !~ 'k'
              and not exists (select from unnest(v_args) a where a like 'pkey=%') then
            select 400, 'Primary key missing on table: ' || v_dest into ret_code, ret_note;
            return;
        end if;
    end if;

    select t.* into v_known from londiste.table_info t where t.queue_name = i_queue_name and t.table_name = v_name;
    if not found and v_node.node_type <> 'root' then
        select 404, 'Table not available on queue: ' || v_shown into ret_code, ret_note;
        return;
    end if;
    if v_known.local then
        if coalesce(v_known.dest_table, v_name) <> v_dest
           or substring(i_table_attrs from '(?:^|&)handler=([^&]*)')
              is distinct from substring(v_known.table_attrs from '(?:^|&)handler=([^&]*)')
              and i_table_attrs is not null then
            select 410, format('Table %s already added, but with different args: dest_table=%s attrs=%s', v_name,
                               coalesce(v_known.dest_table, v_name), coalesce(v_known.table_attrs, ''))
              into ret_code, ret_note;
        else
            select 200, 'Table already added: ' || v_name into ret_code, ret_note;
        end if;
        return;
    end if;

    -- Two triggers of one queue on one table would have one name; on a leaf, where they only refuse, that is no harm.
    if v_node.node_type <> 'leaf' and not v_is_virtual then
        select t.table_name into v_first
          from londiste.table_info t
         where t.queue_name = i_queue_name and t.local and t.table_name <> v_name
           and coalesce(t.dest_table, t.table_name) = v_dest;
        if found then
            select 405, format('Table %s is already used here for table %s', v_dest, v_first) into ret_code, ret_note;
            return;
        end if;
    end if;

    -- A leaf may get the same table from several queues. Whether it shall is the operator's to say.
    if v_node.node_type = 'leaf' and not v_is_virtual and not 'no_merge' = any (v_args) then
        for v_other in
            select t.queue_name, t.local
              from londiste.table_info t join pgq_node.node_info n on n.queue_name = t.queue_name
             where t.queue_name <> i_queue_name and t.queue_name is distinct from v_node.combined_queue
               and t.table_name = v_name and (t.local or n.node_type = 'leaf')
             order by t.local desc, t.nr
        loop
            if v_other.local then
                select 405, format('Found local table %s in queue %s, use remove-table first to remove all previous table '
                                   || 'subscriptions', v_shown, v_other.queue_name) into ret_code, ret_note;
                return;
            elsif not 'merge_all' = any (v_args) then
                select 405, format('Found multiple sources for table %s, use merge-all or no-merge to continue', v_shown)
                  into ret_code, ret_note;
                return;
            end if;
        end loop;
    end if;

    if not v_is_virtual then
        select t.* into v_trigger
          from londiste.create_trigger(i_queue_name, v_name, v_args, v_dest, v_node.node_type) t;
        if v_trigger.ret_code >= 300 then
            select v_trigger.ret_code, format('Trigger creation failed for table %s: %s', v_shown, v_trigger.ret_note)
              into ret_code, ret_note;
            return;
        end if;
    end if;

    if 'skip_truncate' = any (v_args) then
        v_attrs := concat_ws('&', nullif(v_attrs, ''), 'skip_truncate=1');
    end if;
    perform 1 from londiste.global_add_table(i_queue_name, v_name);
    update londiste.table_info t
       set local = true, custom_snapshot = null, dropped_ddl = null, table_attrs = v_attrs,
           dest_table = nullif(v_dest, v_name),
           -- below a combined branch the rows come through the combined queue
           merge_state = case when v_is_synced or v_node.node_type = 'root' or v_node.combined_type = 'branch' then 'ok' end
     where t.queue_name = i_queue_name and t.table_name = v_name;
    -- Now that it is registered, its events keep this name even when the table is renamed.
    perform skyq.refresh_capture(i_queue_name, v_dest)
       from skyq.capture c where c.queue_name = i_queue_name and c.table_oid = londiste.find_table_oid(v_dest);
    if v_node.node_type = 'root' and v_known.queue_name is null then
        perform londiste.root_notify_change(i_queue_name, 'londiste.add-table', v_name);
    end if;

    if v_node.combined_type is not null then
        perform 1 from londiste.table_info t
          where t.queue_name = v_node.combined_queue and t.table_name = v_name and t.local;
        if not found then
            select a.ret_code, a.ret_note into ret_code, ret_note
              from londiste.local_add_table(v_node.combined_queue, v_name, v_args, i_table_attrs, i_dest_table) a;
            if ret_code >= 400 then
                raise exception 'Cannot add table % to combined queue %: %', v_name, v_node.combined_queue, ret_note;
            end if;
        end if;
    end if;
    if v_node.node_type = 'leaf' and 'merge_all' = any (v_args) then
        for v_other in
            select t.queue_name
              from londiste.table_info t join pgq_node.node_info n on n.queue_name = t.queue_name
             where t.table_name = v_name and not t.local and n.node_type = 'leaf'
               and t.queue_name is distinct from v_node.combined_queue
             order by t.nr
        loop
            select a.ret_code, a.ret_note into ret_code, ret_note
              from londiste.local_add_table(v_other.queue_name, v_name, array_replace(v_args, 'merge_all', 'no_merge'),
                                            i_table_attrs, i_dest_table) a;
            if ret_code >= 400 then
                raise exception 'Cannot add table % to queue %: %', v_name, v_other.queue_name, ret_note;
            end if;
        end loop;
    end if;

    if v_is_virtual or v_trigger.ret_code = 201 then
        select 200, 'Table added with no triggers: ' || v_shown into ret_code, ret_note;
        return;
    end if;
    select min(t.tgname) into v_first
      from pg_trigger t
      join pg_trigger l on l.tgrelid = t.tgrelid and l.tgname = v_trigger.trigger_name
     where t.tgrelid = londiste.find_table_oid(v_dest) and not t.tgisinternal and t.tgname < l.tgname
       and not skyq._is_queue_function(t.tgfoid)
       and (t.tgtype & 67) = (l.tgtype & 67) and (t.tgtype & l.tgtype & 28) <> 0;      -- row, before, instead; I D U
    if v_first is not null then
        select 301, format('Table added: %s, but londiste trigger is not first: %s', v_shown, v_first)
          into ret_code, ret_note;
        return;
    end if;
    select 200, 'Table added: ' || v_shown into ret_code, ret_note;
end;
$$;

create or replace function londiste.local_add_table(
    i_queue_name text, i_table_name text, i_trg_args text[], i_table_attrs text, out ret_code integer, out ret_note text)
language sql as $$
-- Adds a table that has the same name here.
select a.ret_code, a.ret_note from londiste.local_add_table(i_queue_name, i_table_name, i_trg_args, i_table_attrs, null) a
$$;

create or replace function londiste.local_add_table(
    i_queue_name text, i_table_name text, i_trg_args text[], out ret_code integer, out ret_note text)
language sql as $$
-- Adds a table without attributes.
select a.ret_code, a.ret_note from londiste.local_add_table(i_queue_name, i_table_name, i_trg_args, null, null) a
$$;

create or replace function londiste.local_add_table(
    i_queue_name text, i_table_name text, out ret_code integer, out ret_note text)
language sql strict as $$
-- Adds a table with the standard trigger.
select a.ret_code, a.ret_note from londiste.local_add_table(i_queue_name, i_table_name, '{}', null, null) a
$$;
