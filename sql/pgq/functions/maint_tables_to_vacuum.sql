create or replace function pgq.maint_tables_to_vacuum() returns setof text
language plpgsql as $$
-- Small busy tables that want frequent vacuums where autovacuum does not do them.
-- Returns:   those that exist, as schema.table; none when autovacuum is on
begin
    if current_setting('autovacuum') = 'on' then
        return;
    end if;
    return query
    select t.name
      from unnest(array['pgq.subscription', 'pgq.consumer', 'pgq.queue', 'pgq.tick', 'pgq.retry_queue',
                        'pgq_ext.completed_tick', 'pgq_ext.completed_batch', 'pgq_ext.completed_event',
                        'pgq_ext.partial_batch', 'pgq_node.local_state',
                        'londiste.seq_info', 'txid.epoch', 'londiste.completed'])
           with ordinality t (name, nr)
     where to_regclass(t.name) is not null
     order by t.nr;
end;
$$;
