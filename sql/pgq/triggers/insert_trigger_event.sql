create or replace function pgq._insert_trigger_event(
    i_queue text, i_type text, i_data text, i_extra1 text, i_extra2 text, i_extra3 text, i_extra4 text)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Inserts the event of a trigger for a role that may write the table but may not call pgq.insert_event itself.
-- Everybody may execute this function, so it serves nobody but the trigger functions: the call stack, which the server
-- writes and no caller can, must name one of them directly above. Whoever created the trigger needed the right to
-- execute the trigger function; that is what decides which tables feed which queue.
-- Returns:   the event's id
-- Errors:    42501 called by anything else
-- Called by: pgq.logutriga, pgq.sqltriga, pgq.jsontriga
declare
    v_stack text;
    v_prefix text;      -- how this server, in its language, begins the line of a PL/pgSQL function
    v_caller text;
begin
    get diagnostics v_stack = pg_context;
    v_prefix := split_part(v_stack, 'pgq._insert_trigger_event(', 1);
    v_caller := split_part(v_stack, e'\n', 2);
    if starts_with(v_caller, v_prefix || 'pgq.logutriga() ') or starts_with(v_caller, v_prefix || 'pgq.sqltriga() ')
       or starts_with(v_caller, v_prefix || 'pgq.jsontriga() ') then
        return pgq.insert_event(i_queue, i_type, i_data, i_extra1, i_extra2, i_extra3, i_extra4);
    end if;
    raise exception 'Cannot insert an event into queue "%": permission denied for function insert_event', i_queue
          using errcode = 'insufficient_privilege',
                hint = 'Grant pgq_writer to the role, or take schema pgq out of its search_path.';
end;
$$;
