create or replace function pgq._next_tick(
    in i_queue_id integer, in i_tick_seq text, out o_tick_id bigint, out o_snapshot txid_snapshot)
returns record
language plpgsql as $$
-- Takes the next tick id of a queue together with a snapshot, so that ids are ordered as their snapshots are, however
-- many tickers run: the batch rule (every event in exactly one batch) rests on that.
-- Returns:   id and snapshot of a tick that the caller inserts
-- Errors:    55000 the transaction's snapshot may be older than the newest tick's
-- Locks:     an advisory lock per queue, for the moment of the call only
declare
    v_last_value bigint;
    v_is_called boolean;
    v_newest bigint;
begin
    -- The lock ends when this block is rolled back, which leaves variables and sequences as they are. If it were kept
    -- until the end of the transaction, a tick made in a long one would stop all others.
    begin
        perform pg_catalog.pg_advisory_xact_lock(1885827444, i_queue_id);     -- 'pgqt'

        -- A snapshot from before the lock may be older than a tick that it cannot see. Only the sequence tells.
        if pg_catalog.current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
            execute 'select s.last_value, s.is_called from ' || pgq.quote_fqname(i_tick_seq) || ' s'
               into v_last_value, v_is_called;
            select coalesce(pg_catalog.max(t.tick_id), 0) into v_newest from pgq.tick t where t.tick_queue = i_queue_id;
            if v_is_called and v_last_value > v_newest then
                raise exception 'Cannot tick queue: this transaction''s snapshot may be older than tick %', v_last_value
                      using errcode = 'object_not_in_prerequisite_state',
                            hint = 'Run the ticker in READ COMMITTED transactions, each of its own.';
            end if;
        end if;

        -- A new statement: its snapshot is younger than the lock.
        select pg_catalog.nextval(pgq.quote_fqname(i_tick_seq)::regclass), pg_catalog.txid_current_snapshot()
          into o_tick_id, o_snapshot;
        raise exception using errcode = 'SQ000';
    exception
        when sqlstate 'SQ000' then null;
    end;

    -- A snapshot does not list its own transaction among those that run. Where a later one has ended already it would
    -- count as seen, and events that follow in it would be in this batch and, since the ticks that others make meanwhile
    -- do not see it, in a later one again.
    if pg_catalog.txid_visible_in_snapshot(pg_catalog.txid_current(), o_snapshot) then
        select pg_catalog.format('%s:%s:%s', pg_catalog.txid_snapshot_xmin(o_snapshot),
                                 pg_catalog.txid_snapshot_xmax(o_snapshot),
                                 pg_catalog.string_agg(x.txid::text, ',' order by x.txid))::txid_snapshot
          into o_snapshot
          from (select pg_catalog.txid_snapshot_xip(o_snapshot) union select pg_catalog.txid_current()) x (txid);
    end if;

    select t.tick_id into v_newest
      from (select p.tick_id, p.tick_snapshot from pgq.tick p
             where p.tick_queue = i_queue_id and p.tick_id < o_tick_id order by p.tick_id desc limit 1) t
     where pg_catalog.txid_snapshot_xmin(t.tick_snapshot) > pg_catalog.txid_snapshot_xmin(o_snapshot)
        or pg_catalog.txid_snapshot_xmax(t.tick_snapshot) > pg_catalog.txid_snapshot_xmax(o_snapshot);
    if found then
        raise exception 'Cannot tick queue: the snapshot is older than that of tick %', v_newest
              using errcode = 'object_not_in_prerequisite_state',
                    hint = 'The server''s transaction counter went back, e.g. by a restore into a new cluster;'
                           ' raise it with pg_resetwal -e.';
    end if;
end;
$$;
