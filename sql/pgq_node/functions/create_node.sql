create or replace function pgq_node.create_node(
    in i_queue_name text, in i_node_type text, in i_node_name text, in i_worker_name text,
    in i_provider_name text, in i_global_watermark bigint, in i_combined_queue text,
    out ret_code integer, out ret_note text)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Makes this database a node of a queue. Its location, and its provider's, are registered before.
--   root: its own provider; a queue with a ticker
--   branch: a queue that gets events and ticks from the provider, starting at the watermark
--   leaf: no queue; applies only, or is merged into i_combined_queue
-- Returns:   200; 401 there is a node already, or arguments that do not fit the type
declare
    v_provider text := i_provider_name;
    v_tick_id bigint := i_global_watermark;
begin
    perform 1 from pgq_node.node_info n where n.queue_name = i_queue_name;
    if found then
        ret_code := 401;
        ret_note := 'Node already initialized';
        return;
    end if;

    if i_node_type = 'root' then
        if i_provider_name is not null or i_global_watermark is not null or i_combined_queue is not null then
            ret_code := 401;
            ret_note := 'unexpected args for root';
            return;
        end if;
        perform pgq.create_queue(i_queue_name);
        perform pgq.register_consumer(i_queue_name, '.global_watermark');
        v_provider := i_node_name;
        v_tick_id := (select c.last_tick from pgq.get_consumer_info(i_queue_name, '.global_watermark') c);
    elsif i_node_type = 'branch' then
        if i_provider_name is null then
            ret_code := 401;
            ret_note := 'provider not set for branch';
            return;
        end if;
        if i_global_watermark is null then
            ret_code := 401;
            ret_note := 'global watermark not set for branch';
            return;
        end if;
        perform pgq.create_queue(i_queue_name);
        update pgq.queue q set queue_external_ticker = true, queue_disable_insert = true
         where q.queue_name = i_queue_name;
        if i_global_watermark > 1 then
            perform pgq.ticker(i_queue_name, i_global_watermark, now(), 1);
        end if;
        perform pgq.register_consumer_at(i_queue_name, '.global_watermark', i_global_watermark);
    elsif i_node_type = 'leaf' and i_combined_queue is not null then
        perform 1 from pgq.queue q where q.queue_name = i_combined_queue;
        if not found then
            ret_code := 401;
            ret_note := 'non-existing queue on leaf side: ' || i_combined_queue;
            return;
        end if;
    end if;

    insert into pgq_node.node_info (queue_name, node_type, node_name, worker_name, combined_queue)
    values (i_queue_name, i_node_type, i_node_name, i_worker_name, i_combined_queue);
    insert into pgq_node.local_state (queue_name, consumer_name, provider_node, last_tick_id)
    values (i_queue_name, i_worker_name, v_provider, v_tick_id);
    ret_code := 200;
    ret_note := 'Node "' || i_node_name || '" initialized for queue "' || i_queue_name
             || '" with type "' || i_node_type || '"';
end;
$$;
