create or replace function pgq._open_batch(
    in i_batch_id bigint,
    out row_id tid, out sub_id integer, out sub_queue integer, out sub_consumer integer,
    out sub_last_tick bigint, out sub_next_tick bigint)
returns record
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = on as $$
-- Finds the subscription that has a batch open. Nothing is indexed by batch: an index on what every batch changes would
-- keep updates of pgq.subscription from staying in their page (HOT), and while a snapshot is held all indexes would
-- grow with every batch, and every look-up and unique check walk all that was ever there.
-- Returns:   the row and where it lies, all null for an unknown batch
-- The settings are fixed for speed: called under another search path than last time, statements would be planned anew.
begin
    if pg_relation_size('pgq.subscription') <= 32 * 8192 then
        select s.ctid, s.sub_id, s.sub_queue, s.sub_consumer, s.sub_last_tick, s.sub_next_tick
          into row_id, sub_id, sub_queue, sub_consumer, sub_last_tick, sub_next_tick
          from pgq.subscription s where s.sub_batch = i_batch_id;
        return;
    end if;

    -- The table is full of dead versions: one index look-up per subscription, from behind, where the newest version is.
    with recursive newest (row_id, sub_id, sub_queue, sub_consumer, sub_last_tick, sub_next_tick, sub_batch) as (
        (select s.ctid, s.sub_id, s.sub_queue, s.sub_consumer, s.sub_last_tick, s.sub_next_tick, s.sub_batch
           from pgq.subscription s order by s.sub_queue desc, s.sub_consumer desc limit 1)
        union all
        select p.* from newest n cross join lateral (
            select s.ctid, s.sub_id, s.sub_queue, s.sub_consumer, s.sub_last_tick, s.sub_next_tick, s.sub_batch
              from pgq.subscription s where (s.sub_queue, s.sub_consumer) < (n.sub_queue, n.sub_consumer)
             order by s.sub_queue desc, s.sub_consumer desc limit 1) p
    )
    select n.row_id, n.sub_id, n.sub_queue, n.sub_consumer, n.sub_last_tick, n.sub_next_tick
      into row_id, sub_id, sub_queue, sub_consumer, sub_last_tick, sub_next_tick
      from newest n where n.sub_batch = i_batch_id;
end;
$$;
