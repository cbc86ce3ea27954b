create or replace function pgq_node.get_subscriber_info(
    in i_queue_name text, out node_name text, out worker_name text, out node_watermark bigint)
returns setof record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- All nodes that read a queue from this one, by name.
begin
    return query
    select s.subscriber_node, s.worker_name,
           (select w.last_tick from pgq.get_consumer_info(i_queue_name, s.watermark_name) w)
      from pgq_node.subscriber_info s where s.queue_name = i_queue_name order by s.subscriber_node;
end;
$$;
