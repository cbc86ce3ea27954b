create or replace function londiste.local_show_missing(i_queue_name text, out obj_kind text, out obj_name text)
returns setof record
language plpgsql stable strict set search_path = pg_catalog, pg_temp as $$
-- What could be added here: on the root the tables (r) and sequences (S) of the database that are not registered,
-- elsewhere those the queue carries and this node has not.
-- Errors:    queue does not exist
begin
    if pgq_node.is_root_node(i_queue_name) then
        return query
            select c.relkind::text, n.nspname || '.' || c.relname
              from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'S') and c.relpersistence <> 't'
               and n.nspname not in ('information_schema', 'pgq', 'pgq_ext', 'pgq_node', 'pgq_coop', 'londiste', 'skyq')
               and n.nspname !~ '^pg_'
               and not exists (
                   select from londiste.table_info t
                    where t.queue_name = i_queue_name
                      and coalesce(t.dest_table, t.table_name) = n.nspname || '.' || c.relname)
               and not exists (
                   select from londiste.seq_info s
                    where s.queue_name = i_queue_name and s.seq_name = n.nspname || '.' || c.relname)
             order by 1, 2;
    else
        return query
            select 'r', t.table_name from londiste.table_info t where t.queue_name = i_queue_name and not t.local
            union all
            select 'S', s.seq_name from londiste.seq_info s where s.queue_name = i_queue_name and not s.local
             order by 1, 2;
    end if;
end;
$$;
