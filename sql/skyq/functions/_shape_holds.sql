create or replace function skyq._shape_holds(i_table regclass, i_shape text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
-- Whether a table still is as it was when its capture function was written.
-- Called by: generated capture functions, with constants
--
-- Not immutable at all, and that is the trick: called with constants it is evaluated when the expression around it is
-- planned, so a row pays nothing. A regclass constant makes a plan depend on the table, so each ALTER TABLE throws the
-- answer away, in every session, at the moment it commits.
declare
    v_same boolean;
begin
    if skyq._shape(i_table) is distinct from i_shape then
        return false;
    end if;
    if current_setting('transaction_isolation') like 'read %' then
        return true;
    end if;
    -- A snapshot older than an ALTER TABLE still shows the columns of before, and the answer would outlive the
    -- transaction. The parser, unlike a query, always sees the newest catalogue.
    execute (
        select format('select %s from (select row(%s)::%s as r) x',
                      string_agg(format('pg_typeof((x.r).%I)::oid = %s', a.attname, a.atttypid), ' and '),
                      string_agg('null', ', '), i_table)
          from pg_attribute a
         where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped)
       into v_same;
    return v_same;
exception
    when undefined_column or undefined_object or undefined_table or cannot_coerce or not_null_violation
      or syntax_error or wrong_object_type or datatype_mismatch then
        return false;
end;
$$;

create or replace function skyq._full_shape_holds(i_table regclass, i_shape text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
-- As skyq._shape_holds(), for skyq._full_shape(). False in a transaction whose snapshot may be older than an ALTER TABLE,
-- as nothing but a query shows whether a column may be null.
begin
    return current_setting('transaction_isolation') like 'read %' and skyq._full_shape(i_table) = i_shape;
end;
$$;

create or replace function skyq._key_is_watched(i_table regclass, i_keys text[]) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
-- Whether the table's key trigger tells of each row whose key changes, before the statement's rows are logged: so that of
-- other statements nobody need compare the rows before and after. It is a trigger of rows, as of several updates of one
-- table in one statement (WITH, foreign keys) only the first fires those before the statement, with its own columns.
-- Evaluated and forgotten like skyq._shape_holds(), which makes it false where the snapshot may be an old one.
begin
    return current_setting('transaction_isolation') like 'read %'
       and exists (
            select
              from pg_trigger t
             where t.tgrelid = i_table and t.tgenabled in ('O', 'A') and t.tgtype = 17      -- after update, row
               and skyq._is_queue_function(t.tgfoid)
               and strpos(pg_get_triggerdef(t.oid), ' FOR EACH ROW ' || skyq._when_key_moves(i_keys) || ' EXECUTE ') > 0
               and array(select a.attname::text from pg_attribute a
                          where a.attrelid = i_table and a.attnum = any (t.tgattr::int2[]) and a.attgenerated = ''
                          order by 1) = array(select k from unnest(i_keys) k order by 1))
       -- one that writes into the row may write its key
       and not exists (select from pg_trigger t where t.tgrelid = i_table and (t.tgtype & 19) = 19 and t.tgenabled <> 'D')
       -- rows of its children have their own triggers
       and not exists (select from pg_inherits i where i.inhparent = i_table);
end;
$$;
