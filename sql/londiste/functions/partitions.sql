create or replace function londiste._period_unit(i_period text) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
-- The unit of time of a partition period, in any of its spellings.
-- Errors:    not supported i_partition_period: ...
declare
    v_unit text := case i_period when 'yearly' then 'year' when 'monthly' then 'month' when 'daily' then 'day'
                                 when 'hourly' then 'hour' else i_period end;
begin
    if v_unit not in ('year', 'month', 'day', 'hour') then
        raise exception 'not supported i_partition_period: %', i_period;
    end if;
    return v_unit;
end;
$$;

create or replace function londiste._replace_first(i_text text, i_old text, i_new text) returns text
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
-- Replaces the first occurrence of i_old, which must be there.
select overlay(i_text placing i_new from strpos(i_text, i_old) for length(i_old))
$$;

create or replace function londiste.create_partition(
    i_table text, i_part text, i_pkeys text, i_part_field text, i_part_time timestamptz, i_part_period text)
returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Makes an inherited child of a table, like it in columns, indexes, owner, grants, triggers and rules; with i_part_field
-- it takes only rows of the period i_part_time is in. i_pkeys, a list of columns, becomes the primary key when the
-- parent has none.
-- Returns:   1, or 0 when it exists
-- Errors:    no such table; not supported i_partition_period: ...
-- Locks:     londiste.table_info, against another who makes the same; share update exclusive on the parent
declare
    v_parent regclass := londiste.quote_fqname(i_table);
    v_quoted text := londiste.quote_fqname(i_table);
    v_part text := londiste.quote_fqname(i_part);
    v_unit text;
    v_row record;
    v_start timestamptz;
begin
    lock table londiste.table_info in share row exclusive mode;
    if to_regclass(v_part) is not null then
        return 0;
    end if;

    execute format('create table %s (like %s including all) inherits (%s)', v_part, v_parent, v_parent);
    execute format('alter table %s owner to %I', v_part,
                   (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = v_parent));
    if coalesce(i_pkeys, '') <> '' and londiste.find_column_types(i_part) !~ 'k' then
        execute format('alter table %s add primary key (%s)', v_part,
                       (select string_agg(quote_ident(btrim(k.name)), ', ' order by k.nr)
                          from regexp_split_to_table(i_pkeys, ',') with ordinality k (name, nr)));
    end if;
    for v_row in
        select case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
               string_agg(a.privilege_type, ', ') as privileges, a.is_grantable
          from pg_class c, aclexplode(c.relacl) a
         where c.oid = v_parent and a.grantee <> c.relowner
         group by 1, 3
    loop
        execute format('grant %s on %s to %s%s', v_row.privileges, v_part, v_row.grantee,
                       case when v_row.is_grantable then ' with grant option' end);
    end loop;
    -- Both texts name the table qualified, and for the first time before anything the user wrote.
    for v_row in
        select londiste._replace_first(pg_get_triggerdef(t.oid), ' ON ' || v_quoted, ' ON ' || v_part) as definition
          from pg_trigger t where t.tgrelid = v_parent and not t.tgisinternal
         union all
        select londiste._replace_first(pg_get_ruledef(r.oid), ' TO ' || v_quoted, ' TO ' || v_part)
          from pg_rewrite r where r.ev_class = v_parent
    loop
        execute v_row.definition;
    end loop;

    if coalesce(i_part_field, '') <> '' then
        v_unit := londiste._period_unit(i_part_period);
        v_start := date_trunc(v_unit, i_part_time);
        execute format('alter table %1$s add check (%2$I >= %3$L and %2$I < %4$L)', v_part, i_part_field, v_start,
                       v_start + ('1 ' || v_unit)::interval);
    end if;
    return 1;
end;
$$;

create or replace function londiste.is_obsolete_partition(
    i_partition_table text, i_retention_period interval, i_partition_period text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Whether all of the time that a partition's name says (its suffix _YYYY, _YYYY_MM, _YYYY_MM_DD or _YYYY_MM_DD_HH) is
-- longer ago than i_retention_period. A name without such a suffix is never obsolete.
-- Errors:    not supported i_partition_period: ...
declare
    v_unit text := londiste._period_unit(i_partition_period);
    v_parts text[];
begin
    v_parts := regexp_match(i_partition_table, '_(\d{4})' || case v_unit
        when 'year' then '' when 'month' then '_(\d\d)' when 'day' then '_(\d\d)_(\d\d)'
        else '_(\d\d)_(\d\d)_(\d\d)' end || '$');
    if v_parts is null then
        return false;
    end if;
    return make_timestamptz(v_parts[1]::integer, coalesce(v_parts[2], '01')::integer, coalesce(v_parts[3], '01')::integer,
                            coalesce(v_parts[4], '00')::integer, 0, 0) + ('1 ' || v_unit)::interval
           <= now() - i_retention_period;
end;
$$;

create or replace function londiste.list_obsolete_partitions(
    i_parent_table text, i_retention_period interval, i_partition_period text) returns setof text
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Children of a table whose time is over.
-- Returns:   their names, oldest first
-- Errors:    no such table; not supported i_partition_period: ...
begin
    return query
        select p.name
          from (select n.nspname || '.' || c.relname as name
                  from pg_inherits i
                  join pg_class c on c.oid = i.inhrelid
                  join pg_namespace n on n.oid = c.relnamespace
                 where i.inhparent = londiste.quote_fqname(i_parent_table)::regclass) p
         where londiste.is_obsolete_partition(p.name, i_retention_period, i_partition_period)
         order by p.name;
end;
$$;

create or replace function londiste.drop_obsolete_partitions(
    i_parent_table text, i_retention_period interval, i_partition_period text) returns setof text
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Drops the children of a table whose time is over.
-- Returns:   their names
-- Errors:    no such table; not supported i_partition_period: ...; objects depend on one
declare
    v_part text;
begin
    for v_part in
        select p from londiste.list_obsolete_partitions(i_parent_table, i_retention_period, i_partition_period) p
    loop
        execute 'drop table ' || londiste.quote_fqname(v_part);
        return next v_part;
    end loop;
end;
$$;
