create or replace function pgq_ext.upgrade_schema() returns integer
language plpgsql as $$
-- Here for those who call it: skyq's installation keeps the schema up to date.
-- Returns:   how much was changed: 0
begin
    return 0;
end;
$$;
