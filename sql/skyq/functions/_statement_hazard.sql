create or replace function skyq._statement_hazard(i_table oid, i_args text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Why a table must not be captured once per statement. A statement's rows are logged when it ends: whatever changes the
-- same rows while it runs, and is logged at its own end, would come before it.
-- Returns:   the reason; null when the catalogue shows none. It cannot show functions, called in the statement itself,
--            that write to the table: so nobody gets this mode without asking for it.
declare
    v_args record;
    v_keys text[];
    v_name text;
begin
    select a.* into v_args from skyq._capture_args(i_args) a;
    if v_args.o_backup or v_args.o_deny or v_args.o_ignore <> '{}' then
        return 'backup, deny and ignore= need each row before and after';
    end if;
    select t.tgname into v_name
      from pg_trigger t
     where t.tgrelid = i_table and not t.tgisinternal and not skyq._is_queue_function(t.tgfoid)
       and (t.tgtype & 3) <> 2                  -- a BEFORE STATEMENT trigger is over when the rows are written
     order by t.tgname limit 1;
    if found then
        return format('trigger "%s" may change the table while a statement runs', v_name);
    end if;
    if exists (select from pg_constraint k where k.contype = 'f' and k.conrelid = i_table
                and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd')))
       and exists (select from pg_constraint k where k.contype = 'f' and k.confrelid = i_table
                    and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'))) then
        return 'foreign keys may change the table because it was changed';
    end if;
    if exists (select from pg_constraint k
                 join pg_attribute a on a.attrelid = i_table and a.attnum = any (k.conkey)
                where k.conrelid = i_table and k.contype = 'f' and (k.confupdtype in ('c', 'n', 'd') or k.confdeltype in ('n', 'd'))
                  and a.attname = any (skyq._captured_key(i_table, i_args))) then
        -- Of a row that the same statement changes once more, what it is in between would be logged.
        return 'a foreign key may change its key';
    end if;
    if exists (select from pg_constraint k
                 join pg_constraint o on o.conrelid = i_table and o.contype = 'f' and o.oid <> k.oid and o.confdeltype = 'c'
                where k.conrelid = i_table and k.contype = 'f' and k.confdeltype in ('n', 'd')) then
        return 'two foreign keys may change a row twice in one statement';
    end if;
    if exists (select from pg_inherits i where i_table in (i.inhrelid, i.inhparent)) then
        return 'it inherits or is a partition';
    end if;
    v_keys := case when v_args.o_pkey is null then skyq._key_columns(i_table) else skyq._name_list(v_args.o_pkey) end;
    if v_keys = '{}' or cardinality(v_keys) <> (
           select count(*) from pg_attribute a
            where a.attrelid = i_table and a.attname = any (v_keys) and a.attnum > 0 and not a.attisdropped and a.attnotnull
              and skyq._equality(a.atttypid) is not null) then
        return 'it has no key of columns that are not null and can be compared';
    end if;
    return null;
end;
$$;
