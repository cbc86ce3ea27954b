create or replace function londiste.periodic_maintenance() returns integer
language plpgsql as $$
-- Forgets scripts that ran three months ago. Run by the ticker's maintenance.
-- Returns:   0
begin
    delete from londiste.applied_execute e where e.execute_time < now() - interval '3 months';
    return 0;
end;
$$;
