create or replace function pgq.create_queue(i_queue_name text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Creates a queue with its event tables, sequences and first tick.
-- Returns:   1, or 0 when the queue is there already
-- Errors:    Invalid NULL value
declare
    v_id integer;
    v_pfx text;
    v_event_seq text;
    v_tick_seq text;
    v_table_count integer;
    v_table text;
begin
    if i_queue_name is null then
        raise exception 'Invalid NULL value';
    end if;
    perform 1 from pgq.queue q where q.queue_name = i_queue_name;
    if found then
        return 0;
    end if;

    v_id := nextval('pgq.queue_queue_id_seq');
    v_pfx := 'pgq.event_' || v_id;
    v_event_seq := v_pfx || '_id_seq';
    v_tick_seq := v_pfx || '_tick_seq';
    insert into pgq.queue as q (queue_id, queue_name, queue_data_pfx, queue_event_seq, queue_tick_seq)
    values (v_id, i_queue_name, v_pfx, v_event_seq, v_tick_seq)
        on conflict (queue_name) do nothing
    returning q.queue_ntables into v_table_count;
    if not found then
        return 0;   -- somebody else created it just now
    end if;

    execute 'create sequence ' || v_event_seq;
    execute 'create sequence ' || v_tick_seq;
    execute format('create table %s () inherits (pgq.event_template)', v_pfx);
    for v_index in 0 .. v_table_count - 1 loop
        v_table := v_pfx || '_' || v_index;
        execute format('create table %s () inherits (%s)', v_table, v_pfx);
        execute format('alter table %s alter column ev_id set default nextval(%L)', v_table, v_event_seq);
        execute format('create index event_%s_%s_txid_idx on %s (ev_txid)', v_id, v_index, v_table);
    end loop;

    perform pgq.grant_perms(i_queue_name);
    perform pgq.ticker(i_queue_name);
    perform pgq.tune_storage(i_queue_name);
    return 1;
end;
$$;
