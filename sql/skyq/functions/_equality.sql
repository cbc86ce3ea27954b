create or replace function skyq._equality(i_type oid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The operator of a type's default equality, as it is written in a statement with any search_path.
-- Returns:   null for a type that has none, and for arrays and rows
select format('operator(%I.%s)', n.nspname, o.oprname)
  from pg_type t
  join pg_opclass c on c.opcdefault and c.opcmethod = (select am.oid from pg_am am where am.amname = 'btree')
                   and c.opcintype = case t.typtype
                           when 'e' then 'anyenum'::regtype
                           when 'r' then 'anyrange'::regtype
                           else case t.oid when 'varchar'::regtype then 'text'::regtype else t.oid end
                       end
  join pg_amop m on m.amopfamily = c.opcfamily and m.amopstrategy = 3
                and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype
  join pg_operator o on o.oid = m.amopopr
  join pg_namespace n on n.oid = o.oprnamespace
 where t.oid = skyq._base_type(i_type)
 limit 1
$$;
