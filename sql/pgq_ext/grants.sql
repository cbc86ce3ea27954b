-- Who may do what. The roles are those of schema pgq; grants go to those that exist.
do $grants$
declare
    v_function text;
    v_is_there boolean := exists (select 1 from pg_catalog.pg_roles r where r.rolname = 'pgq_writer');
begin
    grant usage on schema pgq_ext to public;
    grant execute on function pgq_ext.version() to public;
    foreach v_function in array array[
        'is_batch_done(text, text, bigint)', 'is_batch_done(text, bigint)',
        'set_batch_done(text, text, bigint)', 'set_batch_done(text, bigint)',
        'is_event_done(text, text, bigint, bigint)', 'is_event_done(text, bigint, bigint)',
        'set_event_done(text, text, bigint, bigint)', 'set_event_done(text, bigint, bigint)',
        'get_last_tick(text, text)', 'get_last_tick(text)',
        'set_last_tick(text, text, bigint)', 'set_last_tick(text, bigint)', 'upgrade_schema()']
    loop
        execute 'revoke all on function pgq_ext.' || v_function || ' from public';
        if v_is_there then
            execute 'grant execute on function pgq_ext.' || v_function || ' to pgq_writer';
        end if;
    end loop;
end;
$grants$;
