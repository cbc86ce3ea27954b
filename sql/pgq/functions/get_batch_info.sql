create or replace function pgq.get_batch_info(
    in x_batch_id bigint,
    out queue_name text, out consumer_name text, out batch_start timestamptz, out batch_end timestamptz,
    out prev_tick_id bigint, out tick_id bigint, out lag interval, out seq_start bigint, out seq_end bigint)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- What an open batch is: whose, and between which ticks.
-- Returns:   one row, all null for an unknown batch
begin
    select q.queue_name, c.co_name, p.tick_time, n.tick_time, p.tick_id, n.tick_id, now() - n.tick_time,
           p.tick_event_seq, n.tick_event_seq
      into queue_name, consumer_name, batch_start, batch_end, prev_tick_id, tick_id, lag, seq_start, seq_end
      from pgq._open_batch(x_batch_id) b
      join pgq.queue q on q.queue_id = b.sub_queue
      join pgq.consumer c on c.co_id = b.sub_consumer
     cross join lateral (select t.* from pgq.tick t
                          where t.tick_queue = b.sub_queue and t.tick_id = b.sub_last_tick limit 1) p
     cross join lateral (select t.* from pgq.tick t
                          where t.tick_queue = b.sub_queue and t.tick_id = b.sub_next_tick limit 1) n;
end;
$$;
