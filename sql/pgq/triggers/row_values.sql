create or replace function pgq._row_values(i_row text) returns text[]
language plpgsql immutable strict parallel safe as $$
-- Splits the text of a row, as format('%s', row) gives it, into the texts of its columns.
-- Returns:   one element per live column in table order, null for NULL; for a row without columns one null
-- Called by: pgq._trigger_events
--
-- A row's text holds what each type's output function says (bool t/f, char(n) with its padding), needs no plan of its
-- own per table, and is fetched in one go. Its form:
--     (7,plain,,"a b","say ""hi"" \\","")        values 7; plain; NULL; a b; say "hi" \; empty
-- Values with a blank, a comma, a parenthesis, a quote or a backslash, and empty ones, are in quotes.
declare
    v_parts text[];
    v_part_count integer;
    v_part_index integer := 2;
    v_text text collate "C" := i_row;
    v_values text[] := '{}';
begin
    if strpos(v_text, '"') = 0 then
        v_text := substr(v_text, 2, length(v_text) - 2);
        return case v_text when '' then array[null::text] else string_to_array(v_text, ',', '') end;
    end if;

    -- Few quotes: cut at them. Many, as in JSON: one regular expression, slower to begin with but without a loop.
    if length(v_text) < 4000 then
        v_parts := string_to_array(v_text, '"');
        v_part_count := cardinality(v_parts);
    end if;
    if v_part_count is null or v_part_count > 64 then
        return array(
            select case
                   when m.token[1] = '' then null
                   when left(m.token[1], 1) <> '"' then m.token[1]
                   else replace(replace(substr(m.token[1], 2, length(m.token[1]) - 2), '""', '"'), e'\\\\', e'\\')
                   end
              from regexp_matches(v_text, '[(,]("(?:[^"]|"")*"|[^",)]*)', 'g') m (token));
    end if;

    -- Parts 1, 3, 5, ... were outside quotes, parts 2, 4, 6, ... inside. Part 1 ends with the comma before the quote.
    v_text := substr(v_parts[1], 2);
    if v_text <> '' then
        v_text := left(v_text, -1);
        v_values := case v_text when '' then array[null::text] else string_to_array(v_text, ',', '') end;
    end if;
    while v_part_index < v_part_count loop
        v_text := v_parts[v_part_index];
        v_part_index := v_part_index + 1;
        while v_parts[v_part_index] = '' loop       -- nothing between two quotes: a doubled one
            v_text := v_text || '"' || v_parts[v_part_index + 1];
            v_part_index := v_part_index + 2;
        end loop;
        v_values := array_append(v_values, replace(v_text, e'\\\\', e'\\')::text);
        v_text := v_parts[v_part_index];            -- "," or ",...," or ",...)" or ")"
        v_part_index := v_part_index + 1;
        if length(v_text) > 1 then
            v_text := substr(v_text, 2, length(v_text) - 2);
            if strpos(v_text, ',') = 0 then
                v_values := array_append(v_values, nullif(v_text, '')::text);
            else
                v_values := v_values || string_to_array(v_text, ',', '');
            end if;
        end if;
    end loop;
    return v_values;
end;
$$;
