create or replace function pgq.version() returns text
language plpgsql as $$
-- The version whose tables and functions these are. Constant: the C ticker ignores a database where it is null.
begin
    return '3.5';
end;
$$;
