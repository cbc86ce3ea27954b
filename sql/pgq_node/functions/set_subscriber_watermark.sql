create or replace function pgq_node.set_subscriber_watermark(
    in i_queue_name text, in i_node_name text, in i_watermark bigint, out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- On the provider: a subscriber says that it, and all below it, need nothing before i_watermark.
-- Returns:   200; 100 no change; 404 not subscribed; 405 backwards
declare
    v_name text;
    v_tick_id bigint;
begin
    select s.watermark_name into v_name
      from pgq_node.subscriber_info s where s.queue_name = i_queue_name and s.subscriber_node = i_node_name;
    if not found then
        ret_code := 404;
        ret_note := 'node ' || i_node_name || ' not subscribed to queue ' || i_queue_name;
        return;
    end if;
    v_tick_id := (select c.last_tick from pgq.get_consumer_info(i_queue_name, v_name) c);
    if i_watermark = v_tick_id then
        ret_code := 100;
        ret_note := 'watermark already set';
        return;
    end if;
    if i_watermark < v_tick_id then
        ret_code := 405;
        ret_note := 'watermark must not be moved backwards';
        return;
    end if;
    perform pgq.register_consumer_at(i_queue_name, v_name, i_watermark);
    ret_code := 200;
    ret_note := v_name || ' set to ' || i_watermark;
end;
$$;
