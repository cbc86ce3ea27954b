create or replace function londiste.find_rel_oid(i_fqname text, i_kind text) returns oid
language plpgsql stable strict set search_path = pg_catalog, pg_temp as $$
-- Finds a relation by name and pg_class.relkind.
-- Returns:   null when there is none
begin
    return (
        select c.oid
          from londiste.split_fqname(i_fqname) s
          join pg_namespace n on n.nspname = s.schema_part
          join pg_class c on c.relnamespace = n.oid and c.relname = s.name_part
         where c.relkind = i_kind::"char");
end;
$$;

create or replace function londiste.find_table_oid(tbl text) returns oid
language sql stable strict as $$
-- Finds an ordinary table by name.
-- Returns:   null when there is none
select londiste.find_rel_oid(tbl, 'r')
$$;

create or replace function londiste.find_seq_oid(seq text) returns oid
language sql stable strict as $$
-- Finds a sequence by name.
-- Returns:   null when there is none
select londiste.find_rel_oid(seq, 'S')
$$;
