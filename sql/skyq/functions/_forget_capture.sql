create or replace function skyq._forget_capture(i_queue_name text, i_table oid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Drops the generated function of one table, whose triggers must be gone, and those of tables that do not exist any more.
-- Returns:   how many were dropped
declare
    v_function text;
    v_count integer := 0;
begin
    for v_function in
        delete from skyq.capture c
         where c.queue_name = i_queue_name
           and (c.table_oid = i_table or not exists (select from pg_class r where r.oid = c.table_oid))
        returning c.function_name
    loop
        execute format('drop function if exists skyq.%I()', v_function);
        v_count := v_count + 1;
    end loop;
    -- Of queues that are gone too.
    for v_function in
        select p.proname
          from pg_proc p
         where p.pronamespace = 'skyq'::regnamespace and p.proname ~ '^queue_slot_[0-9]+$'
           and not exists (select from pgq.queue q where 'queue_slot_' || q.queue_id = p.proname)
           and not exists (select from pg_proc c
                            where c.pronamespace = p.pronamespace and c.proname ~ '^capture_[0-9]+$'
                              and position(p.proname || '()' in c.prosrc) > 0)
    loop
        execute format('drop function skyq.%I()', v_function);
    end loop;
    return v_count;
end;
$$;
