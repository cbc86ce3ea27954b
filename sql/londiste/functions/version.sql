create or replace function londiste.version() returns text
language sql immutable as $$
-- Version of the schema whose names and behaviour these are.
select '3.8'::text
$$;
