create or replace function skyq.rotation_holders(
    in i_queue_name text, out consumer_name text, out last_tick bigint, out lag interval, out held_since timestamptz)
returns setof record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Who keeps a queue's next event table from being emptied although it is time: consumers that still need it. Where not
-- even the newest tick is free of it, an old transaction is to blame and nobody is named.
-- Returns:   the consumers, the one furthest behind first; held_since is when the rotation became due
declare
    v_queue record;
begin
    select q.queue_id, q.queue_switch_step2, q.queue_switch_time + q.queue_rotation_period as due_at
      into v_queue
      from pgq.queue q where q.queue_name = i_queue_name;
    if v_queue.due_at is null or v_queue.due_at > now() or v_queue.queue_switch_step2 is null
       or coalesce((select txid_snapshot_xmin(t.tick_snapshot) from pgq.tick t where t.tick_queue = v_queue.queue_id
                     order by t.tick_queue desc, t.tick_id desc limit 1), 0) <= v_queue.queue_switch_step2 then
        return;
    end if;
    return query
    select c.co_name, s.sub_last_tick, now() - t.tick_time, v_queue.due_at
      from pgq.subscription s
      join pgq.consumer c on c.co_id = s.sub_consumer
      join pgq.tick t on t.tick_queue = s.sub_queue and t.tick_id = s.sub_last_tick
     where s.sub_queue = v_queue.queue_id and txid_snapshot_xmin(t.tick_snapshot) <= v_queue.queue_switch_step2
     order by s.sub_last_tick, c.co_name;
end;
$$;
