create or replace function pgq.quote_fqname(i_name text) returns text
language plpgsql strict immutable as $$
-- Quotes a name as stored in pgq.queue. The first dot ends the schema; without a dot the schema is public.
declare
    v_dot integer := pg_catalog.strpos(i_name, '.');
begin
    if v_dot = 0 then
        return pg_catalog.format('public.%I', i_name);
    end if;
    return pg_catalog.format('%I.%I', pg_catalog.substr(i_name, 1, v_dot - 1), pg_catalog.substr(i_name, v_dot + 1));
end;
$$;
