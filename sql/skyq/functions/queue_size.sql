create or replace function skyq.queue_size(i_queue_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Returns:   bytes of a queue's event tables with their indexes, null for an unknown queue
begin
    return (select sum(pg_total_relation_size(
                       to_regclass(pgq.quote_fqname(q.queue_data_pfx || '_' || n.nr))))::bigint
              from pgq.queue q cross join generate_series(0, q.queue_ntables - 1) n (nr)
             where q.queue_name = i_queue_name);
end;
$$;
