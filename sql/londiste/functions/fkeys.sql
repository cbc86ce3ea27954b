create or replace function londiste.find_table_fkeys(i_table_name text) returns setof londiste.pending_fkeys
language sql stable strict set search_path = pg_catalog, pg_temp as $$
-- Foreign keys from and to a table.
select f.from_table, f.to_table, f.fkey_name,
       format('alter table only %s add constraint %I %s', londiste.quote_fqname(f.from_table), f.fkey_name, f.def)
  from (select fn.nspname || '.' || fc.relname as from_table, tn.nspname || '.' || tc.relname as to_table,
               k.conname::text as fkey_name, pg_get_constraintdef(k.oid) as def
          from pg_constraint k
          join pg_class fc on fc.oid = k.conrelid
          join pg_namespace fn on fn.oid = fc.relnamespace
          join pg_class tc on tc.oid = k.confrelid
          join pg_namespace tn on tn.oid = tc.relnamespace
         where k.contype = 'f' and k.conparentid = 0
           and londiste.find_table_oid(i_table_name) in (k.conrelid, k.confrelid)) f
 order by 1, 2, 3
$$;

create or replace function londiste.get_table_pending_fkeys(i_table_name text) returns setof londiste.pending_fkeys
language sql stable strict as $$
-- Dropped foreign keys from and to a table.
select f.* from londiste.pending_fkeys f where i_table_name in (f.from_table, f.to_table)
 order by f.from_table, f.to_table, f.fkey_name
$$;

create or replace function londiste.get_valid_pending_fkeys(i_queue_name text) returns setof londiste.pending_fkeys
language sql stable strict set search_path = pg_catalog, pg_temp as $$
-- Dropped foreign keys that this queue's worker may restore now: both tables are replicated and in sync in every queue
-- that brings them. Of several such queues the first by name does it.
select f.*
  from londiste.pending_fkeys f
  join lateral (
      select min(t.queue_name) as first_queue,
             bool_or(coalesce(t.dest_table, t.table_name) = f.from_table)
             and bool_or(coalesce(t.dest_table, t.table_name) = f.to_table)
             and bool_and(t.merge_state is not distinct from 'ok' and t.custom_snapshot is null) as is_valid
        from londiste.table_info t
       where t.local and coalesce(t.dest_table, t.table_name) in (f.from_table, f.to_table)) s on s.is_valid
 where s.first_queue = i_queue_name
 order by f.from_table, f.to_table, f.fkey_name
$$;

create or replace function londiste.drop_table_fkey(i_from_table text, i_fkey_name text) returns integer
language plpgsql strict set search_path = pg_catalog, pg_temp as $$
-- Drops a foreign key and remembers how to make it again. One that is pending, and so far made again but not validated,
-- keeps the definition it had at first.
-- Returns:   1, or 0 when there is none of that name
-- Locks:     access exclusive on both tables, until commit
declare
    v_fkey londiste.pending_fkeys;
begin
    select f.* into v_fkey from londiste.find_table_fkeys(i_from_table) f
     where f.from_table = londiste.make_fqname(i_from_table) and f.fkey_name = i_fkey_name;
    if not found then
        return 0;
    end if;
    insert into londiste.pending_fkeys as f values (v_fkey.*)
        on conflict (from_table, fkey_name) do update set to_table = excluded.to_table, fkey_def = excluded.fkey_def
        where f.fkey_def || ' NOT VALID' <> excluded.fkey_def;
    execute format('alter table only %s drop constraint %I', londiste.quote_fqname(v_fkey.from_table), v_fkey.fkey_name);
    return 1;
end;
$$;

create or replace function londiste.restore_table_fkey(i_from_table text, i_fkey_name text, i_lazy boolean default false)
returns text
language plpgsql strict set search_path = pg_catalog, pg_temp as $$
-- Restores a dropped foreign key. Lazily it only says what to run next, each in a transaction of its own: first the
-- constraint unvalidated, under a short lock, then the validation, which lets writers go on.
-- Returns:   the statement to run before calling again; '' when nothing is left to do
-- Errors:    what making the constraint raises, such as foreign_key_violation; it stays pending then
declare
    v_from text := londiste.make_fqname(i_from_table);
    v_fkey londiste.pending_fkeys;
    v_is_unchecked boolean;
    v_is_valid boolean;
begin
    select f.* into v_fkey from londiste.pending_fkeys f
     where f.from_table = v_from and f.fkey_name = i_fkey_name for update;
    if not found then
        return '';
    end if;
    -- One that was NOT VALID before it was dropped is so again.
    v_is_unchecked := v_fkey.fkey_def like '% NOT VALID';
    select k.convalidated into v_is_valid from pg_constraint k
     where k.conrelid = to_regclass(londiste.quote_fqname(v_from)) and k.conname = i_fkey_name and k.contype = 'f';
    if found and (v_is_valid or v_is_unchecked) then
        delete from londiste.pending_fkeys f where f.from_table = v_from and f.fkey_name = i_fkey_name;
        return '';
    elsif found then
        if i_lazy then
            return format('alter table only %s validate constraint %I', londiste.quote_fqname(v_from), i_fkey_name);
        end if;
        execute format('alter table only %s validate constraint %I', londiste.quote_fqname(v_from), i_fkey_name);
    elsif i_lazy then
        return v_fkey.fkey_def || case when v_is_unchecked then '' else ' not valid' end;
    else
        execute v_fkey.fkey_def;
    end if;
    delete from londiste.pending_fkeys f where f.from_table = v_from and f.fkey_name = i_fkey_name;
    return '';
end;
$$;
