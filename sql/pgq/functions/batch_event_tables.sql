create or replace function pgq.batch_event_tables(x_batch_id bigint) returns setof text
language plpgsql as $$
-- The event tables, oldest first, that a batch has to read.
-- Errors:    Cannot find data for batch ...
declare
    v_batch record;
    v_cur text;
    v_prev text;
    v_table text;
    v_is_misplaced boolean;
begin
    select q.queue_data_pfx, q.queue_ntables, q.queue_cur_table, q.queue_switch_step1, q.queue_switch_step2,
           (select pg_catalog.txid_snapshot_xmin(t.tick_snapshot) from pgq.tick t
             where t.tick_queue = b.sub_queue and t.tick_id = b.sub_last_tick) as prev_xmin,
           (select pg_catalog.txid_snapshot_xmax(t.tick_snapshot) from pgq.tick t
             where t.tick_queue = b.sub_queue and t.tick_id = b.sub_next_tick) as next_xmax
      into v_batch
      from pgq._open_batch(x_batch_id) b
      join pgq.queue q on q.queue_id = b.sub_queue;
    if v_batch.prev_xmin is null or v_batch.next_xmax is null then
        raise exception 'Cannot find data for batch %', x_batch_id;
    end if;
    v_cur := v_batch.queue_data_pfx || '_' || v_batch.queue_cur_table;
    v_prev := v_batch.queue_data_pfx || '_'
           || (v_batch.queue_cur_table - 1 + v_batch.queue_ntables) % v_batch.queue_ntables;

    -- A writer whose snapshot is older than a rotation (repeatable read) goes on filling the table it sees as current,
    -- under an id newer than the switch. So the other tables are looked at too. Regular rows in them are older than
    -- prev_xmin: the look is an empty index range.
    for v_index in reverse v_batch.queue_ntables - 1 .. 0 loop
        v_table := v_batch.queue_data_pfx || '_'
                || (v_batch.queue_cur_table - v_index + v_batch.queue_ntables) % v_batch.queue_ntables;
        if v_table = v_cur and v_batch.next_xmax >= v_batch.queue_switch_step1
            or v_table = v_prev and (v_batch.next_xmax < v_batch.queue_switch_step1
                                     or v_batch.queue_switch_step2 is null
                                     or v_batch.prev_xmin <= v_batch.queue_switch_step2) then
            return next pgq.quote_fqname(v_table);
        else
            execute 'select exists (select 1 from ' || pgq.quote_fqname(v_table)
                 || ' e where e.ev_txid >= $1 and e.ev_txid < $2)'
               into v_is_misplaced using v_batch.prev_xmin, v_batch.next_xmax;
            if v_is_misplaced then
                return next pgq.quote_fqname(v_table);
            end if;
        end if;
    end loop;
end;
$$;
