create or replace function pgq._grant_perms_from(src_schema text, src_table text, dst_schema text, dst_table text)
returns integer
language plpgsql strict as $$
-- Copies the grants of one table to another.
-- Returns:   1
declare
    v_grant record;
begin
    for v_grant in
        select coalesce(quote_ident(r.rolname), 'public') as grantee, a.privilege_type, a.is_grantable
          from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
          left join pg_catalog.pg_roles r on r.oid = a.grantee
         where n.nspname = src_schema and c.relname = src_table
    loop
        execute format('grant %s on %I.%I to %s', v_grant.privilege_type, dst_schema, dst_table, v_grant.grantee)
             || case when v_grant.is_grantable and v_grant.grantee <> 'public' then ' with grant option' else '' end;
    end loop;
    return 1;
end;
$$;
