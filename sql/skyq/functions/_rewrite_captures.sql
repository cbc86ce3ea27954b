do $rewrite$
-- Captures written by an older version are written anew.
declare
    v_capture skyq.capture;
begin
    -- Had an argument less: a call that leaves both to their defaults would fit the two.
    drop function if exists skyq._easy_row_expression(oid, text, text[], boolean);
    drop function if exists skyq._slot_inserts(pgq.queue, text, text, boolean);
    for v_capture in
        select c.*
          from skyq.capture c
          join pg_catalog.pg_class r on r.oid = c.table_oid
          join pgq.queue q on q.queue_name = c.queue_name
          join pg_catalog.pg_proc p on p.pronamespace = 'skyq'::pg_catalog.regnamespace and p.proname = c.function_name
         where pg_catalog.pg_has_role(p.proowner, 'USAGE')
           and pg_catalog.strpos(p.prosrc, case c.mode when 'row' then 'create_capture(), form 2;'
                                              else 'create_capture(), form 3;' end) = 0
    loop
        perform skyq._write_capture(v_capture.queue_name, v_capture.table_oid, v_capture.trigger_args, v_capture.mode);
    end loop;
    if not exists (select from pg_catalog.pg_proc p
                    where p.pronamespace = 'skyq'::pg_catalog.regnamespace
                      and pg_catalog.strpos(p.prosrc, 'skyq._encoded(') > 0) then
        drop function if exists skyq._encoded(text);
    end if;
end;
$rewrite$;
