create or replace function londiste.make_fqname(i_name text) returns text
language sql immutable strict as $$
-- Completes a name: without a dot it is in schema public. Nothing is quoted.
select case when pg_catalog.strpos(i_name, '.') > 0 then i_name else 'public.' || i_name end
$$;

create or replace function londiste.split_fqname(i_fqname text, out schema_part text, out name_part text)
language plpgsql immutable strict as $$
-- Splits a name at its first dot; without one the schema is public.
declare
    v_dot integer := pg_catalog.strpos(i_fqname, '.');
begin
    schema_part := case when v_dot > 0 then pg_catalog.substr(i_fqname, 1, v_dot - 1) else 'public' end;
    name_part := pg_catalog.substr(i_fqname, v_dot + 1);
end;
$$;

create or replace function londiste.quote_fqname(i_name text) returns text
language plpgsql immutable strict as $$
-- Quotes both parts of a name for use in a statement.
declare
    v_name record;
begin
    select s.schema_part, s.name_part into v_name from londiste.split_fqname(i_name) s;
    return pg_catalog.format('%I.%I', v_name.schema_part, v_name.name_part);
end;
$$;
