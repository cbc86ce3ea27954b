create or replace function skyq._drop_consumer(i_queue_name text, i_consumer_name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Ends a consumer for good. One that is the worker of a subscriber node takes the node's registration along: the
-- watermark of a node that can never go on would hold back the rotation just the same.
declare
    v_node text;
begin
    if to_regclass('pgq_node.subscriber_info') is not null then
        execute 'select s.subscriber_node from pgq_node.subscriber_info s where s.queue_name = $1 and s.worker_name = $2'
           into v_node using i_queue_name, i_consumer_name;
        if v_node is not null then
            execute 'select pgq_node.unregister_subscriber($1, $2)' using i_queue_name, v_node;
        end if;
    end if;
    perform pgq.unregister_consumer(i_queue_name, i_consumer_name);
end;
$$;
