create or replace function skyq._change_expression(i_table oid, i_columns text[], i_without text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the SQL condition "one of these columns differs between OLD and NEW", for all columns of the table when
-- i_columns is null, but never for those in i_without. Names the table does not have are passed over.
-- Returns:   a boolean expression, never null when evaluated, the same with any search_path
--
-- Two values differ when one is null, or when the default equality of their type says so; a type that has none, and
-- arrays and rows, compare by their text.
declare
    v_column record;
    v_name text;
    v_parts text[] := '{}';
begin
    for v_column in
        select a.attname, a.attnotnull, e.op
          from pg_attribute a
         cross join lateral skyq._equality(a.atttypid) e (op)
         where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped
           and (i_columns is null or a.attname = any (i_columns)) and a.attname <> all (i_without)
         order by a.attnum
    loop
        v_name := skyq._quoted(v_column.attname);
        v_parts := v_parts || case
            when v_column.op is null then
                format('(NEW.%1$s is not distinct from null) operator(pg_catalog.<>) (OLD.%1$s is not distinct from null) '
                       || 'or pg_catalog.concat(NEW.%1$s) operator(pg_catalog.<>) pg_catalog.concat(OLD.%1$s)', v_name)
            when v_column.attnotnull then
                format('not (NEW.%1$s %2$s OLD.%1$s)', v_name, v_column.op)
            else
                format('(NEW.%1$s %2$s OLD.%1$s) is not true and not (NEW.%1$s is null and OLD.%1$s is null)',
                       v_name, v_column.op)
        end;
    end loop;
    if v_parts = '{}' then
        return 'false';
    end if;
    return '(' || array_to_string(v_parts, e')\n            or (') || ')';
end;
$$;
