create or replace function pgq.batch_event_sql(x_batch_id bigint) returns text
language plpgsql as $$
-- The query that reads a batch: rows of the queue's event tables visible in the snapshot of the batch's last tick but
-- not in that of the tick before the batch, ordered by id (first column).
-- Errors:    batch not found
declare
    v_batch record;
    v_from bigint;
    v_txid bigint;
    v_txids bigint[] := '{}';
    v_range text;
    v_sql text;
    v_parts text[] := '{}';
    v_table text;
begin
    select b.sub_id,
           (select t.tick_snapshot from pgq.tick t
             where t.tick_queue = b.sub_queue and t.tick_id = b.sub_last_tick) as prev_snapshot,
           (select t.tick_snapshot from pgq.tick t
             where t.tick_queue = b.sub_queue and t.tick_id = b.sub_next_tick) as next_snapshot
      into v_batch
      from pgq._open_batch(x_batch_id) b;
    if v_batch.prev_snapshot is null or v_batch.next_snapshot is null then
        raise exception 'batch not found';
    end if;

    -- Most events come from transactions that began between the ticks: the range [xmax of the first, xmax of the last).
    -- Those that were open at the first tick and have ended since are taken into the range while they are close to it;
    -- the others are read one by one, or one old transaction would make every batch scan all that came after its start.
    v_from := pg_catalog.txid_snapshot_xmax(v_batch.prev_snapshot);
    for v_txid in
        select x from pg_catalog.txid_snapshot_xip(v_batch.prev_snapshot) x
         where pg_catalog.txid_visible_in_snapshot(x, v_batch.next_snapshot)
         order by x desc
    loop
        if v_from - v_txid <= 100 then
            v_from := v_txid;
        else
            v_txids := v_txids || v_txid;
        end if;
    end loop;

    v_range := pg_catalog.format(
        'ev.ev_txid >= %s and ev.ev_txid < %s'
        ' and pg_catalog.txid_visible_in_snapshot(ev.ev_txid, %L::pg_catalog.txid_snapshot)'
        ' and not pg_catalog.txid_visible_in_snapshot(ev.ev_txid, %L::pg_catalog.txid_snapshot)',
        v_from, pg_catalog.txid_snapshot_xmax(v_batch.next_snapshot), v_batch.next_snapshot, v_batch.prev_snapshot);

    for v_table in select t from pgq.batch_event_tables(x_batch_id) t loop
        v_sql := pg_catalog.format(
            'select ev.ev_id, ev.ev_time, ev.ev_txid, ev.ev_retry, ev.ev_type, ev.ev_data,'
            ' ev.ev_extra1, ev.ev_extra2, ev.ev_extra3, ev.ev_extra4 from %s ev'
            ' where (ev.ev_owner is null or ev.ev_owner = %s) and ', v_table, v_batch.sub_id);
        v_parts := v_parts || (v_sql || v_range);
        if v_txids <> '{}' then
            v_parts := v_parts || (v_sql || 'ev.ev_txid in (' || pg_catalog.array_to_string(v_txids, ', ') || ')');
        end if;
    end loop;
    return pg_catalog.array_to_string(v_parts, ' union all ') || ' order by 1';
end;
$$;
