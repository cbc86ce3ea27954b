create or replace function londiste.upgrade_schema() returns integer
language sql as $$
-- Part of the interface; the installer upgrades the schema.
-- Returns:   0, the number of changes made
select 0
$$;
