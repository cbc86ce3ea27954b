create or replace function pgq_node._local_watermark(i_queue_name text) returns bigint
language plpgsql as $$
-- The lowest tick that somebody who reads from this queue still needs: of all its consumers but the global watermark,
-- else its newest tick.
begin
    return coalesce(
        (select min(s.sub_last_tick)
           from pgq.queue q
           join pgq.subscription s on s.sub_queue = q.queue_id
           join pgq.consumer c on c.co_id = s.sub_consumer
          where q.queue_name = i_queue_name and c.co_name <> '.global_watermark'),
        (select t.tick_id
           from pgq.queue q
           join pgq.tick t on t.tick_queue = q.queue_id
          where q.queue_name = i_queue_name
          order by t.tick_queue desc, t.tick_id desc limit 1));
end;
$$;
