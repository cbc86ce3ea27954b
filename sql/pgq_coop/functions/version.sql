create or replace function pgq_coop.version() returns text
language plpgsql as $$
-- The version whose functions these are.
begin
    return '3.1.1';
end;
$$;
