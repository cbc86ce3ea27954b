create or replace function skyq.check_capture(
    i_queue_name text, out table_name text, out local_name text, out mode text, out problem text)
returns setof record
language plpgsql stable strict set search_path = pg_catalog, pg_temp as $$
-- Looks over the captured tables of a queue.
-- Returns:   one row per table; problem null when all is well, else what skyq.refresh_capture() or, for triggers,
--            skyq.create_capture() puts right
declare
    v_capture skyq.capture;
begin
    for v_capture in
        select c.* from skyq.capture c where c.queue_name = i_queue_name order by c.capture_id
    loop
        table_name := v_capture.table_name;
        mode := v_capture.mode;
        select n.nspname || '.' || r.relname into local_name
          from pg_class r join pg_namespace n on n.oid = r.relnamespace where r.oid = v_capture.table_oid;
        problem := case
            when local_name is null then 'table is gone'
            when skyq._full_shape(v_capture.table_oid) <> v_capture.columns then 'columns or key have changed'
            -- the key trigger, for rows that are updated, only saves work
            when 60 <> (select coalesce(bit_or(t.tgtype & 60), 0) from pg_trigger t       -- I, D, U and T
                         where t.tgrelid = v_capture.table_oid and not t.tgisinternal and t.tgtype <> 17
                           and t.tgfoid = to_regproc(format('skyq.%I', v_capture.function_name))) then 'trigger is gone'
            when exists (select from pg_trigger t
                          where t.tgrelid = v_capture.table_oid and t.tgenabled in ('D', 'R') and t.tgtype <> 17
                            and t.tgfoid = to_regproc(format('skyq.%I', v_capture.function_name))) then 'trigger is disabled'
            when v_capture.mode = 'statement' then skyq._statement_hazard(v_capture.table_oid, v_capture.trigger_args)
        end;
        return next;
    end loop;
end;
$$;
