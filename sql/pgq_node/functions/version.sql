create or replace function pgq_node.version() returns text
language plpgsql as $$
-- The version whose tables and functions these are.
begin
    return '3.5';
end;
$$;
