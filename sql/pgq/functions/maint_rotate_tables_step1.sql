create or replace function pgq.maint_rotate_tables_step1(i_queue_name text) returns integer
language plpgsql as $$
-- Moves the writers of a queue to its next event table, emptied first, if the period is over and nobody needs what is
-- there. Runs in a transaction of its own; pgq.maint_rotate_tables_step2 follows in a later one.
-- Returns:   0
-- Errors:    queue ... maint failure: ...; 25001 not in READ COMMITTED
-- Locks:     the queue's row; the next event table, exclusively, if it can be had at once
declare
    v_queue record;
    v_tick_id bigint;
    v_snapshot txid_snapshot;
    v_next integer;
    v_table text;
    v_is_needed boolean;
begin
    select q.* into v_queue
      from pgq.queue q
     where q.queue_name = i_queue_name
       and q.queue_rotation_period is not null
       and q.queue_switch_step2 is not null
       -- A switch that lies ahead by more than a period: the clock was set back since.
       and (q.queue_switch_time + q.queue_rotation_period < current_timestamp
            or q.queue_switch_time - q.queue_rotation_period > current_timestamp)
       for update;
    if not found then
        return 0;
    end if;
    if txid_current() < v_queue.queue_switch_step1 then
        raise exception 'queue % maint failure: step1=%, current=%',
              i_queue_name, v_queue.queue_switch_step1, txid_current();
    end if;
    -- The last look at the table to be emptied must be younger than the lock on it.
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'Cannot rotate queue "%": the transaction is not READ COMMITTED', i_queue_name
              using errcode = 'active_sql_transaction',
                    hint = 'Run maintenance in READ COMMITTED transactions, each of its own.';
    end if;

    -- The slowest consumer's snapshot must be wholly after the last switch: then nobody reads the table before it.
    select min(s.sub_last_tick) into v_tick_id from pgq.subscription s where s.sub_queue = v_queue.queue_id;
    if v_tick_id is not null then
        select t.tick_snapshot into v_snapshot
          from pgq.tick t where t.tick_queue = v_queue.queue_id and t.tick_id = v_tick_id;
        if not found then
            raise exception 'queue % maint failure: tick % not found', i_queue_name, v_tick_id;
        end if;
        if txid_snapshot_xmin(v_snapshot) <= v_queue.queue_switch_step2 then
            return 0;
        end if;
    end if;

    v_next := (v_queue.queue_cur_table + 1) % v_queue.queue_ntables;
    v_table := pgq.quote_fqname(v_queue.queue_data_pfx || '_' || v_next);
    begin
        execute 'lock table ' || v_table || ' in access exclusive mode nowait';
    exception when lock_not_available then
        return 0;   -- a dump or another long reader
    end;

    -- A repeatable read writer may have put rows here long after the switch; see pgq.batch_event_tables.
    if v_snapshot is not null then
        execute 'select exists (select 1 from ' || v_table || ' e where e.ev_txid >= txid_snapshot_xmin($1)'
                ' and not txid_visible_in_snapshot(e.ev_txid, $1))' into v_is_needed using v_snapshot;
        if v_is_needed then
            return 0;
        end if;
    end if;
    execute 'truncate ' || v_table;

    update pgq.queue q
       set queue_cur_table = v_next, queue_switch_time = current_timestamp,
           queue_switch_step1 = txid_current(), queue_switch_step2 = null
     where q.queue_id = v_queue.queue_id;

    -- Ticks stay for more than one whole period, so that consumers can be moved back that far.
    delete from pgq.tick t
     where t.tick_queue = v_queue.queue_id and txid_snapshot_xmin(t.tick_snapshot) < v_queue.queue_switch_step2;
    return 0;
end;
$$;
