-- Schema skyq has no roles of its own. Whoever administers queues administers captures; run after schema pgq's grants.
do $grants$
declare
    v_function text;
    v_is_admin boolean := pg_catalog.to_regrole('pgq_admin') is not null;
begin
    grant usage on schema skyq to public;
    if v_is_admin then
        grant select, insert, update, delete on skyq.copy_state, skyq.setting, skyq.pending_trigger, skyq.failed_event,
            skyq.queue_policy, skyq.upgrade, skyq.upgraded_trigger to pgq_admin;
        grant select, insert, update, delete on skyq.copy_chunk, skyq.pending_index to pgq_admin;
        grant usage on sequence skyq.copy_chunk_chunk_id_seq to pgq_admin;
        grant select, insert, update, delete on skyq.quarantine, skyq.set_aside to pgq_admin;
        grant select on skyq.capture to pgq_admin;
    end if;
    if pg_catalog.to_regrole('pgq_reader') is not null then
        grant select on skyq.copy_state, skyq.copy_chunk, skyq.pending_index, skyq.pending_trigger, skyq.capture,
            skyq.failed_event, skyq.queue_policy to pgq_reader;
        grant select on skyq.quarantine, skyq.set_aside to pgq_reader;
    end if;
    -- All of them: a trigger function that runs as its owner would let anybody write to the queue.
    for v_function in
        select p.oid::pg_catalog.regprocedure::text
          from pg_catalog.pg_proc p
         where p.pronamespace = 'skyq'::pg_catalog.regnamespace
           and pg_catalog.has_function_privilege(current_user, p.oid, 'execute with grant option')
    loop
        execute 'revoke all on function ' || v_function || ' from public';
        if v_is_admin then
            execute 'grant execute on function ' || v_function || ' to pgq_admin';
        end if;
    end loop;
    -- What a consumer may do with its own events, and what whoever watches may know.
    if pg_catalog.to_regrole('pgq_reader') is not null then
        for v_function in
            select f from unnest(array['skyq.event_failed(bigint, bigint, text)', 'skyq.queue_size(text)',
                                       'skyq.rotation_holders(text)',
                                       'skyq.transaction_ids_behind(text)']) f
             where pg_catalog.has_function_privilege(current_user, f, 'execute with grant option')
        loop
            execute 'grant execute on function ' || v_function || ' to pgq_reader';
        end loop;
    end if;
end;
$grants$;
