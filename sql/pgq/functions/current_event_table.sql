create or replace function pgq.current_event_table(x_queue_name text) returns text
language plpgsql as $$
-- The event table to insert into, for bulk loads. Holds until the end of the transaction.
-- Returns:   its name, quoted where needed
-- Errors:    Event queue not found; Writing to queue disabled
declare
    v_queue record;
begin
    perform txid_current();     -- before the table is read: see pgq.insert_event_raw
    select q.queue_data_pfx || '_' || q.queue_cur_table as table_name, q.queue_disable_insert
      into v_queue from pgq.queue q where q.queue_name = x_queue_name;
    if not found then
        raise exception 'Event queue not found';
    end if;
    if v_queue.queue_disable_insert and current_setting('session_replication_role') <> 'replica' then
        raise exception 'Writing to queue disabled';
    end if;
    return pgq.quote_fqname(v_queue.table_name);
end;
$$;
