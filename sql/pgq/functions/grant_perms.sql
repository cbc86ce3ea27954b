create or replace function pgq.grant_perms(x_queue_name text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Gives a queue's sequences and event tables their grants: those of pgq.event_template at this moment.
-- Returns:   1
-- Errors:    Queue not found
declare
    v_queue pgq.queue;
    v_table text;
    v_dot integer;
begin
    select q.* into v_queue from pgq.queue q where q.queue_name = x_queue_name;
    if not found then
        raise exception 'Queue not found';
    end if;

    execute format('grant select on sequence %s, %s to public',
                   pgq.quote_fqname(v_queue.queue_event_seq), pgq.quote_fqname(v_queue.queue_tick_seq));
    perform 1 from pg_roles r where r.rolname = 'pgq_admin';    -- missing where the installer might not create it
    if found then
        execute format('grant usage on sequence %s to pgq_admin', pgq.quote_fqname(v_queue.queue_event_seq));
    end if;

    for v_table in
        select v_queue.queue_data_pfx union all
        select v_queue.queue_data_pfx || '_' || i from generate_series(0, v_queue.queue_ntables - 1) i
    loop
        v_dot := strpos(v_table, '.');
        perform pgq._grant_perms_from('pgq', 'event_template',
                                      case when v_dot > 0 then left(v_table, v_dot - 1) else 'public' end,
                                      substr(v_table, v_dot + 1));
    end loop;
    return 1;
end;
$$;
