create or replace function pgq.get_batch_cursor(
    in i_batch_id bigint, in i_cursor_name text, in i_quick_limit integer, in i_extra_where text,
    out ev_id bigint, out ev_time timestamptz, out ev_txid bigint, out ev_retry integer,
    out ev_type text, out ev_data text, out ev_extra1 text, out ev_extra2 text, out ev_extra3 text, out ev_extra4 text)
returns setof record
language plpgsql as $$
-- Opens a cursor over the events of a batch and fetches its first rows; the caller goes on with FETCH and CLOSE in the
-- same transaction. i_extra_where is a condition over the ten columns, put into the query as it is.
-- Returns:   the first i_quick_limit events; nothing, and no cursor, when one of the first three arguments is null
-- Errors:    batch not found
declare
    v_sql text;
begin
    if i_batch_id is null or i_cursor_name is null or i_quick_limit is null then
        return;
    end if;
    v_sql := pgq.batch_event_sql(i_batch_id);
    if i_extra_where is not null then
        v_sql := 'select e.* from (' || v_sql || ') e where ' || i_extra_where || ' order by 1';
    end if;
    execute pg_catalog.format('declare %I no scroll cursor for %s', i_cursor_name, v_sql);
    if i_quick_limit > 0 then
        for ev_id, ev_time, ev_txid, ev_retry, ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4 in
            execute pg_catalog.format('fetch %s from %I', i_quick_limit, i_cursor_name)
        loop
            return next;
        end loop;
    end if;
end;
$$;

create or replace function pgq.get_batch_cursor(
    in i_batch_id bigint, in i_cursor_name text, in i_quick_limit integer,
    out ev_id bigint, out ev_time timestamptz, out ev_txid bigint, out ev_retry integer,
    out ev_type text, out ev_data text, out ev_extra1 text, out ev_extra2 text, out ev_extra3 text, out ev_extra4 text)
returns setof record
language plpgsql strict as $$
-- Opens a cursor over all events of a batch and fetches its first rows.
-- Returns:   the first i_quick_limit events
begin
    return query select c.* from pgq.get_batch_cursor(i_batch_id, i_cursor_name, i_quick_limit, null) c;
end;
$$;
