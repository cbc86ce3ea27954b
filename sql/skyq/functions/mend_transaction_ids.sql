create or replace function skyq.mend_transaction_ids(i_queue_name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- After a restore into a cluster with lower transaction ids, once these have passed the newest tick's: gives events that
-- were written meanwhile this transaction's id. By their own they look delivered, and no batch would have them.
-- Returns:   how many events
declare
    v_queue record;
    v_tick record;
    v_count bigint;
    v_all bigint := 0;
begin
    select q.* into v_queue from pgq.queue q where q.queue_name = i_queue_name;
    select t.tick_time, t.tick_snapshot into v_tick
      from pgq.tick t where t.tick_queue = v_queue.queue_id order by t.tick_queue desc, t.tick_id desc limit 1;
    if not found then
        return 0;
    end if;
    for v_index in 0 .. v_queue.queue_ntables - 1 loop
        -- What a tick sees was written before it was made; a second is for what began just then.
        execute 'update ' || pgq.quote_fqname(v_queue.queue_data_pfx || '_' || v_index) || ' e'
                ' set ev_txid = txid_current()'
                ' where e.ev_time > $1 and txid_visible_in_snapshot(e.ev_txid, $2)'
          using v_tick.tick_time + interval '1 second', v_tick.tick_snapshot;
        get diagnostics v_count = row_count;
        v_all := v_all + v_count;
    end loop;
    return v_all;
end;
$$;
