-- Who may do what. The three roles are created where the installing role may; grants go to those that exist.
do $grants$
declare
    v_role text;
    v_missing text[] := '{}';
    v_grant record;
    v_function text;
begin
    foreach v_role in array array['pgq_reader', 'pgq_writer', 'pgq_admin'] loop
        perform 1 from pg_catalog.pg_roles r where r.rolname = v_role;
        continue when found;
        begin
            execute pg_catalog.format('create role %I', v_role);
        exception
            when insufficient_privilege then v_missing := v_missing || v_role;
            when duplicate_object or unique_violation then null;     -- another database of the cluster was quicker
        end;
    end loop;
    if v_missing <> '{}' then
        raise notice 'Cannot create roles %: "%" has no CREATEROLE. Only the owner can use pgq until they exist.',
              pg_catalog.array_to_string(v_missing, ', '), current_user;
    end if;

    foreach v_role in array array['pgq_reader', 'pgq_writer'] loop
        perform 1 from pg_catalog.pg_roles m, pg_catalog.pg_roles r
          where m.rolname = 'pgq_admin' and r.rolname = v_role and not pg_catalog.pg_has_role(m.oid, r.oid, 'MEMBER');
        if found then
            begin
                execute pg_catalog.format('grant %I to pgq_admin', v_role);
            exception when insufficient_privilege then
                raise notice 'Cannot make pgq_admin a member of %: "%" may not grant it.', v_role, current_user;
            end;
        end if;
    end loop;

    grant usage on schema pgq to public;
    for v_grant in
        select g.grantee, g.privileges, g.objects
          from (values
            ('public', 'select', 'table pgq.consumer, pgq.queue, pgq.tick, pgq.subscription'),
            ('pgq_reader', 'select', 'table pgq.consumer, pgq.queue, pgq.tick, pgq.subscription, pgq.event_template'),
            ('pgq_admin', 'select, insert, update, delete',
                'table pgq.consumer, pgq.queue, pgq.tick, pgq.subscription, pgq.retry_queue'),
            ('pgq_admin', 'select, insert, truncate', 'table pgq.event_template')
          ) g (grantee, privileges, objects)
         where g.grantee = 'public' or g.grantee in (select r.rolname from pg_catalog.pg_roles r)
    loop
        execute pg_catalog.format('grant %s on %s to %s', v_grant.privileges, v_grant.objects, v_grant.grantee);
    end loop;

    for v_grant in
        select g.grantee, g.functions
          from (values
            ('public', array[
                'seq_getval(text)', 'get_queue_info()', 'get_queue_info(text)', 'get_consumer_info()',
                'get_consumer_info(text)', 'get_consumer_info(text, text)', 'quote_fqname(text)', 'version()']),
            ('pgq_reader', array[
                'batch_event_sql(bigint)', 'batch_event_tables(bigint)',
                '_open_batch(bigint)', 'find_tick_helper(integer, bigint, timestamptz, bigint, bigint, interval)',
                'register_consumer(text, text)', 'register_consumer_at(text, text, bigint)',
                'unregister_consumer(text, text)',
                'next_batch(text, text)', 'next_batch_info(text, text)',
                'next_batch_custom(text, text, interval, integer, interval)',
                'get_batch_events(bigint)', 'get_batch_info(bigint)', 'get_batch_cursor(bigint, text, integer, text)',
                'get_batch_cursor(bigint, text, integer)', 'event_retry(bigint, bigint, timestamptz)',
                'event_retry(bigint, bigint, integer)', 'batch_retry(bigint, integer)', 'force_tick(text)',
                'finish_batch(bigint)']),
            ('pgq_writer', array[
                'insert_event(text, text, text)', 'insert_event(text, text, text, text, text, text, text)',
                'current_event_table(text)', 'jsontriga()', 'sqltriga()', 'logutriga()']),
            ('pgq_admin', array[
                'ticker()', 'ticker(text)', 'ticker(text, bigint, timestamptz, bigint)', '_next_tick(integer, text)',
                'maint_operations()', 'maint_rotate_tables_step1(text)', 'maint_rotate_tables_step2()',
                'maint_retry_events()', 'maint_tables_to_vacuum()', 'upgrade_schema()', 'grant_perms(text)',
                '_grant_perms_from(text, text, text, text)', 'tune_storage(text)', 'seq_setval(text, bigint)',
                'create_queue(text)', 'drop_queue(text)', 'drop_queue(text, boolean)',
                'set_queue_config(text, text, text)',
                'insert_event_raw(text, bigint, timestamptz, integer, integer, text, text, text, text, text, text)',
                'event_retry_raw(text, text, timestamptz, bigint, timestamptz, integer,'
                ' text, text, text, text, text, text)'])
          ) g (grantee, functions)
    loop
        foreach v_function in array v_grant.functions loop
            continue when pg_catalog.to_regprocedure('pgq.' || v_function) is null;
            execute 'revoke all on function pgq.' || v_function || ' from public';
            perform 1 from pg_catalog.pg_roles r where r.rolname = v_grant.grantee;
            if found or v_grant.grantee = 'public' then
                execute 'grant execute on function pgq.' || v_function || ' to ' || v_grant.grantee;
            end if;
        end loop;
    end loop;
end;
$grants$;
