create or replace function pgq.find_tick_helper(
    in i_queue_id integer, in i_prev_tick_id bigint, in i_prev_tick_time timestamptz, in i_prev_tick_seq bigint,
    in i_min_count bigint, in i_min_interval interval,
    out next_tick_id bigint, out next_tick_time timestamptz, out next_tick_seq bigint)
returns record
language plpgsql stable as $$
-- Finds the tick to end a batch with, so that it has about i_min_count events or spans i_min_interval, whichever comes
-- first; a null condition does not count.
-- Returns:   the tick, all null when there is none yet or no condition
declare
    v_count bigint;
    v_span interval;
begin
    select t.tick_id, t.tick_time, t.tick_event_seq
      into next_tick_id, next_tick_time, next_tick_seq
      from pgq.tick t
     where t.tick_queue = i_queue_id and t.tick_id > i_prev_tick_id
     order by t.tick_queue desc, t.tick_id desc limit 1;
    if not found then
        return;
    end if;

    -- The newest tick is the best end unless the consumer is far behind: then batches shall not grow without limit.
    v_count := next_tick_seq - i_prev_tick_seq;
    v_span := next_tick_time - i_prev_tick_time;
    if v_count > 2 * i_min_count or v_span > 2 * i_min_interval then
        select t.tick_id, t.tick_time, t.tick_event_seq
          into next_tick_id, next_tick_time, next_tick_seq
          from pgq.tick t
         where t.tick_queue = i_queue_id and t.tick_id > i_prev_tick_id
           and (t.tick_event_seq - i_prev_tick_seq >= i_min_count or t.tick_time - i_prev_tick_time >= i_min_interval)
         order by t.tick_queue, t.tick_id limit 1;
    elsif (v_count >= i_min_count or v_span >= i_min_interval) is not true then
        next_tick_id := null;
        next_tick_time := null;
        next_tick_seq := null;
    end if;
end;
$$;
