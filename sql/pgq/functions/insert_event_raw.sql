create or replace function pgq.insert_event_raw(
    queue_name text, ev_id bigint, ev_time timestamptz, ev_owner integer, ev_retry integer,
    ev_type text, ev_data text, ev_extra1 text, ev_extra2 text, ev_extra3 text, ev_extra4 text)
returns bigint
language plpgsql as $$
-- Puts an event, fresh or retried, into the current event table of a queue. Called once per event.
-- Returns:   the event's id: ev_id, or the next of the queue when that is null
-- Errors:    Queue name must not be NULL; No such queue; Insert into queue disallowed; Queue '...' allows max ...
-- Locks:     none but the insert's
#variable_conflict use_variable
declare
    v_queue record;
    v_id bigint;
    v_counter text;
    v_count integer;
begin
    if queue_name is null then
        raise exception 'Queue name must not be NULL';
    end if;

    -- The transaction id comes first. A rotation that commits between the two would otherwise leave us with an id newer
    -- than the switch and a row in the old table.
    perform txid_current();
    -- The sequence moves even when the id is given, so that the ticker sees that something came.
    select q.queue_id, q.queue_data_pfx, q.queue_cur_table, q.queue_disable_insert, q.queue_per_tx_limit,
           nextval(pgq.quote_fqname(q.queue_event_seq)::regclass) as event_id
      into v_queue from pgq.queue q where q.queue_name = insert_event_raw.queue_name;
    if not found then
        raise exception 'No such queue';
    end if;
    if v_queue.queue_disable_insert and current_setting('session_replication_role') <> 'replica' then
        raise exception 'Insert into queue disallowed';
    end if;

    -- The count lives in a setting of this transaction, so it ends with the transaction.
    if v_queue.queue_per_tx_limit is not null then
        v_counter := 'pgq.tx_event_count_' || v_queue.queue_id;
        v_count := coalesce(nullif(current_setting(v_counter, true), '')::integer, 0) + 1;
        if v_count > v_queue.queue_per_tx_limit then
            raise exception 'Queue ''%'' allows max % events from one TX', queue_name, v_queue.queue_per_tx_limit;
        end if;
        perform set_config(v_counter, v_count::text, true);
    end if;

    v_id := coalesce(ev_id, v_queue.event_id);
    execute 'insert into ' || pgq.quote_fqname(v_queue.queue_data_pfx || '_' || v_queue.queue_cur_table)
         || ' (ev_id, ev_time, ev_owner, ev_retry, ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4)'
         || ' values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)'
      using v_id, coalesce(ev_time, now()), ev_owner, ev_retry,
            ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4;
    return v_id;
end;
$$;
