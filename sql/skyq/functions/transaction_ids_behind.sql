create or replace function skyq.transaction_ids_behind(i_queue_name text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
-- How many transactions the server has to go until its ids have passed those in the queue's newest tick. More than 0
-- says that its counter went back: no tick can be made, and events written now would count as delivered already.
-- Returns:   0 when all is well, null for an unknown queue
select greatest(0, coalesce(t.xmax - txid_snapshot_xmax(txid_current_snapshot()), 0))
  from pgq.queue q
  left join lateral (select txid_snapshot_xmax(t.tick_snapshot) as xmax from pgq.tick t
                      where t.tick_queue = q.queue_id
                      order by t.tick_queue desc, t.tick_id desc limit 1) t on true
 where q.queue_name = i_queue_name
$$;
