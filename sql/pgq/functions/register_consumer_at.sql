create or replace function pgq.register_consumer_at(x_queue_name text, x_consumer_name text, x_tick_pos bigint)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Registers a consumer at a tick (null: the newest), or moves a registered one there; a move forgets its open batch.
-- Returns:   1 registered, 0 it was registered already
-- Errors:    Event queue not created yet; cannot reposition, tick not found; No ticks for this queue.
-- Locks:     the consumer's name and its subscription
declare
    v_queue_id integer;
    v_consumer_id integer;
    v_sub_id integer;
    v_tick_id bigint;
begin
    select q.queue_id into v_queue_id from pgq.queue q where q.queue_name = x_queue_name;
    if not found then
        raise exception 'Event queue not created yet';
    end if;

    select c.co_id into v_consumer_id from pgq.consumer c where c.co_name = x_consumer_name for update;
    if not found then
        insert into pgq.consumer (co_name) values (x_consumer_name) on conflict (co_name) do nothing;
        select c.co_id into v_consumer_id from pgq.consumer c where c.co_name = x_consumer_name for update;
    end if;

    if x_tick_pos is not null then
        perform 1 from pgq.tick t where t.tick_queue = v_queue_id and t.tick_id = x_tick_pos;
        if not found then
            raise exception 'cannot reposition, tick not found: %', x_tick_pos;
        end if;
    end if;

    select s.sub_id into v_sub_id
      from pgq.subscription s where s.sub_queue = v_queue_id and s.sub_consumer = v_consumer_id;
    if found then
        if x_tick_pos is not null then
            update pgq.subscription s
               set sub_last_tick = x_tick_pos, sub_batch = null, sub_next_tick = null, sub_active = now()
             where s.sub_queue = v_queue_id and s.sub_consumer = v_consumer_id;
        end if;
        return 0;
    end if;

    v_tick_id := x_tick_pos;
    if v_tick_id is null then
        select t.tick_id into v_tick_id
          from pgq.tick t where t.tick_queue = v_queue_id order by t.tick_id desc limit 1;
        if not found then
            raise exception 'No ticks for this queue.  Please run ticker on database.';
        end if;
    end if;
    insert into pgq.subscription (sub_queue, sub_consumer, sub_last_tick) values (v_queue_id, v_consumer_id, v_tick_id);
    return 1;
end;
$$;
