-- Who may do what. The roles are those of schema pgq; grants go to those that exist.
do $grants$
declare
    v_grant record;
    v_function text;
    v_role text;
    v_roles text[] := array(select r.rolname::text from pg_catalog.pg_roles r
                             where r.rolname in ('pgq_reader', 'pgq_writer', 'pgq_admin'));
begin
    grant usage on schema pgq_node to public;
    foreach v_role in array v_roles loop
        execute 'grant ' || case when v_role = 'pgq_admin' then 'select, insert, update, delete' else 'select' end
             || ' on pgq_node.node_location, pgq_node.node_info, pgq_node.local_state, pgq_node.subscriber_info to '
             || v_role;
    end loop;

    for v_grant in
        select g.grantees, g.functions
          from (values
            (array['public'], array['is_root_node(text)', 'is_leaf_node(text)', 'version()']),
            (array['pgq_reader', 'pgq_writer', 'pgq_admin'], array[
                'get_consumer_info(text)', 'get_consumer_state(text, text)', 'get_queue_locations(text)',
                'get_node_info(text)', 'get_subscriber_info(text)', 'register_subscriber(text, text, text, bigint)',
                'unregister_subscriber(text, text)', 'set_subscriber_watermark(text, text, bigint)']),
            (array['pgq_writer', 'pgq_admin'], array[
                'register_consumer(text, text, text, bigint)', 'unregister_consumer(text, text)',
                'change_consumer_provider(text, text, text)', 'set_consumer_uptodate(text, text, boolean)',
                'set_consumer_paused(text, text, boolean)', 'set_consumer_completed(text, text, bigint)',
                'set_consumer_error(text, text, text)']),
            (array['pgq_admin'], array[
                'register_location(text, text, text, boolean)', 'unregister_location(text, text)',
                'create_node(text, text, text, text, text, bigint, text)', 'drop_node(text, text)',
                'get_worker_state(text)', 'set_node_attrs(text, text)', 'set_global_watermark(text, bigint)',
                'set_partition_watermark(text, text, bigint)', 'demote_root(text, integer, text)',
                'promote_branch(text)', 'maint_watermark(text)', 'upgrade_schema()',
                '_node_type(text)', '_local_watermark(text)'])
          ) g (grantees, functions)
    loop
        foreach v_function in array v_grant.functions loop
            execute 'revoke all on function pgq_node.' || v_function || ' from public';
            foreach v_role in array v_grant.grantees loop
                continue when v_role <> 'public' and v_role <> all (v_roles);
                execute 'grant execute on function pgq_node.' || v_function || ' to ' || v_role;
            end loop;
        end loop;
    end loop;
end;
$grants$;
