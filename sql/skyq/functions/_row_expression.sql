create or replace function skyq._row_expression(i_table oid, i_row text, i_ignore text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the SQL expression that urlencodes one row of a table, column by column as its type needs it. i_row is how
-- the row is called there, such as NEW. Holds for any values; for most rows skyq._easy_row_expression() is cheaper.
-- Returns:   an expression of type text, which means the same with any search_path; '' without columns
--
-- The values are what the type's output function says, as concat() shows them: ::text only where it is the same. Dates
-- and times are in the ISO style: skyq._text_settings() sees to that.
select skyq._joined(array_agg(skyq._named_column(r.value, true,
               case when c.nr > 1 then '&' else '' end || skyq._urlencode(c.name),
               case when c.kind = 'plain' and c.chars = '' then r.value
                    when c.kind = 'plain' then skyq._replacements(r.value || '::pg_catalog.text', c.chars)
                    -- hex needs no look at each byte
                    when c.kind = 'bytes' then format(
                        'case when pg_catalog.current_setting(''bytea_output'') operator(pg_catalog.=) ''hex'' '
                        || 'then ''%%5cx'' operator(pg_catalog.||) pg_catalog.encode(%1$s, ''hex'') '
                        || 'else skyq._urlencode(pg_catalog.concat(%1$s)) end', r.value)
                    when c.is_text then format('skyq._urlencode(%s::pg_catalog.text)', r.value)
                    else format('skyq._urlencode(pg_catalog.concat(%s))', r.value)
               end) order by c.nr))
  from skyq._row_columns(i_table, i_ignore) c
 cross join lateral (select i_row || '.' || skyq._quoted(c.name)) r (value)
$$;

create or replace function skyq._easy_row_expression(
    i_table oid, i_row text, i_ignore text[], i_are_words_easy boolean default true, i_is_for_many boolean default false)
returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- As skyq._row_expression(), where skyq._context() is the easy one, for rows of which skyq._is_easy_row()
-- holds, or, with i_are_words_easy false, for all.
--
-- What costs is the number of functions called: each takes 0.3 us to be made ready in each transaction, even where it
-- finds nothing to do. So the few characters that dates and words hold are replaced once, in the whole row. Nothing else
-- in it may change by that: names and what was encoded before have no such character but +, written as a blank here.
-- The & between columns is safe while those in words are replaced first: column by column, or, with many of these, all
-- at once, and the columns' own & is another character until then.
--
-- With i_is_for_many what a function costs to be made ready is shared by many rows, and what it reads counts more: so
-- all that only words can hold is replaced column by column, if these are few.
with shown as (
    select c.nr, c.chars, c.is_text, c.has_nulls, i_row || '.' || skyq._quoted(c.name) as value,
           replace(skyq._urlencode(c.name), '+', ' ') as encoded_name,
           case when c.kind = 'words' and not i_are_words_easy then 'other' else c.kind end as kind,
           case when i_are_words_easy
                     and count(*) filter (where c.kind = 'words') over () > case when i_is_for_many then 4 else 2 end
                then e'\x01' else '&' end as separator
      from skyq._row_columns(i_table, i_ignore) c
), row_text as (
    select skyq._joined(array_agg(skyq._named_column(s.value, s.has_nulls,
                   case when s.nr > 1 then s.separator else '' end || s.encoded_name,
                   case when s.kind = 'plain' or s.kind = 'words' and s.separator <> '&' then s.value
                        when s.kind = 'bytes' then
                            format('''%%5cx'' operator(pg_catalog.||) pg_catalog.encode(%s, ''hex'')', s.value)
                        when s.kind = 'words' then
                            skyq._replacements(t.shown, case when i_is_for_many then '&,@' else '&' end)
                        else format('pg_catalog.replace(skyq._urlencode(%s), ''+'', '' '')', t.shown)
                   end) order by s.nr)) as expression,
           string_agg(s.chars || case when s.kind = 'words' and s.separator = '&' and i_is_for_many then ' :'
                                      when s.kind = 'words' then ' ,:@'
                                      when s.kind = 'other' or s.encoded_name like '% %' then ' '
                                      else '' end, '') as chars,
           max(s.separator) as separator
      from shown s
     cross join lateral (
        select format(case when s.is_text then '%s::pg_catalog.text' else 'pg_catalog.concat(%s)' end, s.value)) t (shown)
)
select case when t.separator = '&' then skyq._replacements(t.expression, t.chars)
            else format('pg_catalog.replace(%s, e''\x01'', ''&'')', skyq._replacements(t.expression, t.chars || '&')) end
  from row_text t
$$;

create or replace function skyq._words(i_table oid, i_row text, i_ignore text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the expression for all words of a row as one text.
-- Returns:   null when it has none
--
-- A text is appended as it is, which costs less than concat(), while not so many of them are copied again and again.
select case when count(*) = 1 then max(w.text)
            when count(*) > 1 then '(' || string_agg(w.text, e'\n                operator(pg_catalog.||) ' order by w.nr) || ')'
       end
  from (select min(c.nr) as nr,
               case when bool_and(c.is_appended and c.has_nulls) then
                        format('case when %1$s is null then '''' else %1$s::pg_catalog.text end', min(c.value))
                    when c.is_appended then min(c.value) || '::pg_catalog.text'
                    else skyq._joined(array_agg(c.value order by c.nr)) end as text
          from (select r.nr, r.has_nulls, i_row || '.' || skyq._quoted(r.name) as value,
                       r.is_text and count(*) over () <= 8 as is_appended
                  from skyq._row_columns(i_table, i_ignore) r
                 where r.kind = 'words') c
         group by c.is_appended, case when c.is_appended then c.nr end) w
$$;

create or replace function skyq._is_easy_row(i_table oid, i_row text, i_ignore text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the condition on which skyq._easy_row_expression() is right: words of nothing but letters, digits, blanks and
-- the most frequent signs. What the session's settings do to texts is the matter of skyq._context().
select coalesce('(' || skyq._words(i_table, i_row, i_ignore)
                || ' collate pg_catalog."C") operator(pg_catalog.!~) ''[^-.0-9A-Z_a-z ,:@&]''', 'true')
$$;

create or replace function skyq._long_statement_expression(i_table oid, i_row text, i_has_signs boolean) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- As skyq._row_expression(), where skyq._context() is the easy one, for the rows of a statement so long that only what a
-- row reads and copies counts, not what there is to be made ready. So || joins the columns, and the signs of dates are
-- replaced in the dates, while these are few. Of the signs of words some are expected with i_has_signs only; a row that
-- holds others takes the slower way.
-- Returns:   null for tables that would gain nothing: without words, or so wide that || copies too much
with shown as (
    select c.nr, c.kind, c.chars, c.has_nulls, i_row || '.' || skyq._quoted(c.name) as value,
           case when c.nr > 1 then '&' else '' end || replace(skyq._urlencode(c.name), '+', ' ') as head,
           -- a cast of bool says true instead of t
           format(case when c.is_text and b.type <> 'bool'::regtype then '%s::pg_catalog.text' else 'pg_catalog.concat(%s)' end,
                  i_row || '.' || skyq._quoted(c.name)) as shown,
           count(*) filter (where c.chars <> '') over () <= 3 as are_dates_few
      from skyq._row_columns(i_table, '{}') c
      join pg_attribute a on a.attrelid = i_table and a.attname = c.name
     cross join lateral skyq._base_type(a.atttypid) b (type)
), encoded as (
    select s.*, case
               when s.kind = 'words' then
                   skyq._replacements(s.shown, case when i_has_signs then '&,:@' else '&,' end)
               when s.kind = 'bytes' then
                   format('''%%5cx'' operator(pg_catalog.||) pg_catalog.encode(%s, ''hex'')', s.value)
               when s.kind = 'other' then format('pg_catalog.replace(skyq._urlencode(%s), ''+'', '' '')', s.shown)
               when s.are_dates_few then skyq._replacements(s.shown, replace(s.chars, ' ', ''))
               else s.shown end as text
      from shown s
)
select format('case when (%s collate pg_catalog."C") operator(pg_catalog.!~) %L then %s else %s end',
              skyq._words(i_table, i_row, '{}'),
              case when i_has_signs then '[^-.0-9A-Z_a-z ,:@&]' else '[^-.0-9A-Z_a-z ,&]' end,
              skyq._replacements(
                  string_agg(format(case when e.has_nulls then
                                 'case when %1$s is not distinct from null then %2$L else %3$L operator(pg_catalog.||) %4$s end'
                                 else '%3$L operator(pg_catalog.||) %4$s' end, e.value, e.head, e.head || '=', e.text),
                             e'\n                operator(pg_catalog.||) ' order by e.nr),
                  ' ' || string_agg(case when e.are_dates_few then '' else e.chars end, '')),
              skyq._easy_row_expression(i_table, i_row, '{}', false, true))
  from encoded e
having count(*) filter (where e.kind = 'words') between 1 and 4 and count(*) <= 20
$$;
