create or replace function pgq.upgrade_schema() returns integer
language plpgsql as $$
-- Brings tables of an older PgQ 3 up to date.
-- Returns:   0
declare
    v_role text;
begin
    perform 1 from pg_attribute a
      where a.attrelid = 'pgq.subscription'::regclass and a.attname = 'sub_last_tick' and a.attnotnull;
    if found then
        alter table pgq.subscription alter column sub_last_tick drop not null;
    end if;

    foreach v_role in array array['pgq_reader', 'pgq_writer', 'pgq_admin'] loop
        perform 1 from pg_roles r where r.rolname = v_role;
        if not found then
            execute format('create role %I', v_role);
            if v_role = 'pgq_admin' then
                grant pgq_reader, pgq_writer to pgq_admin;
            end if;
        end if;
    end loop;

    perform 1 from pg_attribute a
      where a.attrelid = 'pgq.queue'::regclass and a.attname = 'queue_extra_maint' and not a.attisdropped;
    if not found then
        alter table pgq.queue add column queue_extra_maint text[];
    end if;
    return 0;
end;
$$;
