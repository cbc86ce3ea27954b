-- Who may do what. The roles are those of schema pgq; grants go to those that exist.
do $grants$
declare
    v_function text;
    v_is_there boolean := exists (select 1 from pg_catalog.pg_roles r where r.rolname = 'pgq_reader');
begin
    grant usage on schema pgq_coop to public;
    grant execute on function pgq_coop.version() to public;
    foreach v_function in array array[
        'register_subconsumer(text, text, text)', 'unregister_subconsumer(text, text, text, integer)',
        'next_batch(text, text, text)', 'next_batch(text, text, text, interval)',
        'next_batch_custom(text, text, text, interval, integer, interval)',
        'next_batch_custom(text, text, text, interval, integer, interval, interval)', 'finish_batch(bigint)']
    loop
        execute 'revoke all on function pgq_coop.' || v_function || ' from public';
        if v_is_there then
            execute 'grant execute on function pgq_coop.' || v_function || ' to pgq_reader';
        end if;
    end loop;
    revoke all on function pgq_coop._subscriptions(text, text, text), pgq_coop._drop_worker(integer, integer) from public;
end;
$grants$;
