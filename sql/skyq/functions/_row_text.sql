create or replace function skyq._named_column(i_value text, i_has_nulls boolean, i_name text, i_text text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- Writes the arguments of concat() that show a column: i_text after name and =, the name alone for null. "is null" would
-- hold for a composite value whose fields are all null.
select case when not i_has_nulls then format('%L, %s', i_name || '=', i_text)
            else format('case when %s is not distinct from null then %L else %L end, %s',
                        i_value, i_name, i_name || '=', i_text) end
$$;

create or replace function skyq._joined(i_parts text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- Writes the concatenation of expressions, each one argument of concat() or two. A function takes 100 at most.
select case when count(*) > 1 then format('pg_catalog.concat(%s)', string_agg(g.text, e',\n                ' order by g.nr))
            else coalesce(max(g.text), '''''') end
  from (select (p.nr - 1) / 40, format('pg_catalog.concat(%s)', string_agg(p.text, e',\n                ' order by p.nr))
          from unnest(i_parts) with ordinality p (text, nr)
         group by 1) g (nr, text)
$$;

create or replace function skyq._replacements(i_text text, i_chars text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
-- Writes the expression that urlencodes these characters of a text and leaves all others: + first, as blanks become it.
declare
    v_char text;
    v_expression text := i_text;
begin
    for v_char in select c from regexp_split_to_table(i_chars, '') c where c <> '' group by c order by c <> '+', c loop
        v_expression := format('pg_catalog.replace(%s, %L, %L)',
            case when v_expression = i_text then format('(%s) collate pg_catalog."C"', i_text) else v_expression end,
            v_char, case v_char when ' ' then '+' else '%' || to_hex(ascii(v_char)) end);
    end loop;
    return v_expression;
end;
$$;
