create or replace function pgq._is_changed(i_type oid, i_collation oid, i_old text, i_new text) returns boolean
language plpgsql stable as $$
-- Tells whether a column's value changed, given both values' texts: by the type's equality operator where it has one
-- (so numeric 1.0 and 1.00 are the same), else by text. Arrays are compared by text.
-- Returns:   true when changed, also from or to NULL
-- Called by: pgq._trigger_events
declare
    v_type record;
    v_operator record;
    v_is_equal boolean;
    v_cast text;
begin
    if i_old is not distinct from i_new then
        return false;
    elsif i_old is null or i_new is null then
        return true;
    end if;

    -- The usual types need no catalogue. For these a different text is a different value ...
    if i_type in (16, 17, 18, 19, 20, 21, 23, 26, 1082, 1083, 1114, 1184, 2950) then
        return true;    -- bool bytea "char" name int8 int2 int4 oid date time timestamp timestamptz uuid
    elsif i_type in (25, 1043) and i_collation in (100, 950, 951) then
        return true;    -- text varchar, collation "default" "C" "POSIX"
    -- ... for these not.
    elsif i_type = 1700 then
        return i_old::numeric <> i_new::numeric;
    elsif i_type = 701 then
        return i_old::double precision <> i_new::double precision;
    end if;

    with recursive base as (
        select t.oid, t.typtype, t.typcategory, t.typbasetype from pg_catalog.pg_type t where t.oid = i_type
        union all
        select t.oid, t.typtype, t.typcategory, t.typbasetype
          from pg_catalog.pg_type t, base b where b.typtype = 'd' and t.oid = b.typbasetype)
    select b.oid, b.typtype, b.typcategory into v_type from base b where b.typtype <> 'd';
    if v_type.typcategory = 'A' then
        return true;
    end if;

    -- the operator behind the type's default btree or hash class, its own or that of a type it is stored like
    select n.nspname, o.oprname into v_operator
      from (select v_type.oid as type, 1 as rank
            union all
            select case v_type.typtype when 'e' then 'anyenum'::regtype when 'r' then 'anyrange'::regtype
                                       when 'm' then to_regtype('anymultirange') when 'c' then 'record'::regtype end, 2
            union all
            select c.casttarget, 3 from pg_catalog.pg_cast c
             where c.castsource = v_type.oid and c.castmethod = 'b' and c.castcontext = 'i') t
      join pg_catalog.pg_opclass c on c.opcintype = t.type and c.opcdefault
      join pg_catalog.pg_am m on m.oid = c.opcmethod and m.amname in ('btree', 'hash')
      join pg_catalog.pg_amop a on a.amopfamily = c.opcfamily and a.amoplefttype = c.opcintype
                               and a.amoprighttype = c.opcintype
                               and a.amopstrategy = case m.amname when 'btree' then 3 else 1 end
      join pg_catalog.pg_operator o on o.oid = a.amopopr
      join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
     order by t.rank, m.amname
     limit 1;
    if not found then
        return true;
    end if;

    v_cast := pg_catalog.format_type(v_type.oid, -1);
    if i_collation <> 0 then
        v_cast := v_cast || ' collate ' || i_collation::regcollation;
    end if;
    begin
        execute format('select $1::%s operator(%I.%s) $2::%s', v_cast, v_operator.nspname, v_operator.oprname, v_cast)
           into v_is_equal using i_old, i_new;
        return not v_is_equal;
    exception when undefined_function then
        return true;    -- a composite or range whose parts have no equality
    end;
end;
$$;
