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
    return v_count;
end;
$$;
