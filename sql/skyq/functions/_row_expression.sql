create or replace function skyq._row_expression(i_table oid, i_row text, i_ignore text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the SQL expression that urlencodes one row of a table, column by column as its type needs it. i_row is how
-- the row is called there, such as NEW.
-- Returns:   an expression of type text; '' without columns
--
-- The values are what the type's output function says: ::text only where it is the same. Types whose text can hold but
-- a few of the characters to encode get those replaced; the rest go through skyq._urlencode(). Dates and times are in
-- the ISO style: skyq._text_settings() sees to that.
declare
    v_column record;
    v_value text;
    v_name text;
    v_ref text;
    v_parts text[] := '{}';
begin
    for v_column in
        select a.attname, skyq._base_type(a.atttypid) as type
          from pg_attribute a
         where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped and a.attname <> all (i_ignore)
         order by a.attnum
    loop
        v_ref := i_row || '.' || skyq._quoted(v_column.attname);
        v_name := case when v_parts = '{}' then '' else '&' end || skyq._urlencode(v_column.attname);
        v_value := case v_column.type
            when 'int2'::regtype then '%s::text'
            when 'int4'::regtype then '%s::text'
            when 'int8'::regtype then '%s::text'
            when 'oid'::regtype then '%s::text'
            when 'numeric'::regtype then '%s::text'
            when 'uuid'::regtype then '%s::text'
            when 'float4'::regtype then $x$replace(%s::text, '+', '%%2b')$x$
            when 'float8'::regtype then $x$replace(%s::text, '+', '%%2b')$x$
            when 'date'::regtype then $x$replace(%s::text, ' ', '+')$x$
            when 'time'::regtype then $x$replace(%s::text, ':', '%%3a')$x$
            when 'timetz'::regtype then $x$replace(replace(%s::text, '+', '%%2b'), ':', '%%3a')$x$
            when 'timestamp'::regtype then $x$replace(replace(%s::text, ' ', '+'), ':', '%%3a')$x$
            when 'timestamptz'::regtype then
                $x$replace(replace(replace(%s::text, '+', '%%2b'), ' ', '+'), ':', '%%3a')$x$
            -- hex needs no look at each byte
            when 'bytea'::regtype then
                $x$case current_setting('bytea_output') when 'hex' then '%%5cx' || encode(%1$s, 'hex') $x$
                || $x$else skyq._urlencode(%1$s::text) end$x$
            when 'text'::regtype then 'skyq._encoded(%s)'
            when 'varchar'::regtype then 'skyq._encoded(%s::text)'
        end;
        v_parts := v_parts || case
            when v_column.type = 'bool'::regtype then
                format('case when %1$s then %2$L when not %1$s then %3$L else %4$L end',
                       v_ref, v_name || '=t', v_name || '=f', v_name)
            when v_value is not null then
                format('coalesce(%L || (%s), %L)', v_name || '=', format(v_value, v_ref), v_name)
            else
                -- "is null" would hold for a composite value whose fields are all null
                format('case when %1$s is not distinct from null then %2$L '
                       || 'else %3$L || skyq._urlencode(format(''%%s'', %1$s)) end',
                       v_ref, v_name, v_name || '=')
        end;
    end loop;
    if v_parts = '{}' then
        return '''''';
    end if;
    return array_to_string(v_parts, e'\n            || ');
end;
$$;
