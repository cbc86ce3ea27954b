create or replace function londiste.set_session_replication_role(val text, is_local boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Sets session_replication_role on behalf of a role that may not. It works where the owner of this function may.
-- Errors:    bad value for session_replication_role; permission denied
begin
    if coalesce(val, '') not in ('local', 'origin', 'replica') then
        raise exception 'bad value for session_replication_role';
    end if;
    perform set_config('session_replication_role', val, is_local);
end;
$$;
