create or replace function pgq_node.maint_watermark(i_queue_name text) returns integer
language plpgsql as $$
-- On a root: publishes the global watermark if that was not done for 5 minutes. Called by maintenance.
-- Returns:   0
declare
    v_lag interval;
begin
    perform 1 from pgq_node.node_info n where n.queue_name = i_queue_name and n.node_type = 'root';
    if not found then
        return 0;
    end if;
    select c.lag into v_lag from pgq.get_consumer_info(i_queue_name, '.global_watermark') c;
    if v_lag >= interval '5 minutes' then
        perform pgq_node.set_global_watermark(i_queue_name, null);
    end if;
    return 0;
end;
$$;
