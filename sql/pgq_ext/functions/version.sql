create or replace function pgq_ext.version() returns text
language plpgsql as $$
-- The version whose tables and functions these are.
begin
    return '3.1';
end;
$$;
