create or replace function skyq.cluster_changed(i_note boolean default false) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Whether this database was ticked in another cluster last: a dump that was restored. Transaction ids of its ticks and
-- events then come from another counter. The first call notes where it is; i_note does so again.
-- Called by: src/engine/ticker/restored.ts
declare
    v_here text := (select s.system_identifier from pg_control_system() s) || '/'
                   || (select d.oid from pg_database d where d.datname = current_database());
    v_noted text;
begin
    select s.value into v_noted from skyq.setting s where s.key = 'ticked_in_cluster';
    if v_noted is null or i_note and v_noted <> v_here then
        insert into skyq.setting (key, value) values ('ticked_in_cluster', v_here)
            on conflict (key) do update set value = excluded.value;
        return false;
    end if;
    return v_noted <> v_here;
end;
$$;
