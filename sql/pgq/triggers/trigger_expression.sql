create or replace function pgq._trigger_expression(i_text text, i_names text[]) returns text
language plpgsql stable as $$
-- Rewrites an expression of a trigger argument for a statement whose $1 is the row: each word that names a column
-- becomes ($1)."column"; words with dots count as one. Strings, comments, and words where no column can stand (before a
-- parenthesis or a string, after :: or as) are kept. A "quoted" word may name a column too, and a word that names none as
-- it is written, nor is a key word of SQL, is tried in lower case.
-- i_names:   columns of the row
-- Returns:   the rewritten expression
-- Called by: pgq._trigger_expressions
declare
    c_start constant text := e'[^\\x01-@\\[-^`{-\\x7f]';                 -- ASCII letters, _, everything beyond ASCII
    c_more constant text := e'[^\\x01-#%-/:-@\\[-^`{-\\x7f]*';           -- digits and $ as well
    c_word constant text := c_start || c_more;
    c_quoted constant text := '"(?:[^"]|"")+"';
    c_name constant text := '(?:' || c_word || '|' || c_quoted || ')';
    c_token constant text := '^(?:'
        || e'\\s+|--[^\\n]*|/\\*(?:[^*]|\\*+[^*/])*\\*+/'                                   -- blanks, comments
        || e'|[eE]\'(?:[^\'\\\\]|\\\\.|\'\')*\'|(?:[bBnNxX]|[uU]&)?\'(?:[^\']|\'\')*\''    -- strings
        || e'|[uU]&' || c_quoted || e'|[0-9][0-9A-Za-z_.]*|\\$[0-9]+|::'                  -- numbers, parameters, casts
        || '|' || c_name || e'(?:\\s*\\.\\s*(?:' || c_name || e'|\\*))*'                  -- names, also with dots
        || ')';
    c_dollar constant text := e'^\\$(?:' || c_start || e'[^\\x01-/:-@\\[-^`{-\\x7f]*)?\\$';
    v_rest text collate "C" := i_text;
    v_token text collate "C";
    v_tag text collate "C";
    v_name text collate "C";
    v_next text collate "C";
    v_before text collate "C" := '';    -- the last token that is neither blank nor comment
    v_result text := '';
begin
    while v_rest <> '' loop
        v_tag := substring(v_rest from c_dollar);
        if v_tag is not null and strpos(substr(v_rest, length(v_tag) + 1), v_tag) > 0 then
            v_token := left(v_rest, 2 * length(v_tag) - 1 + strpos(substr(v_rest, length(v_tag) + 1), v_tag));
        else
            v_token := coalesce(substring(v_rest from c_token), left(v_rest, 1));
        end if;
        v_rest := substr(v_rest, length(v_token) + 1);
        v_next := left(ltrim(v_rest, e' \t\n\r\f'), 1);

        v_name := case when v_token ~ ('^' || c_word || '$') then v_token
                       when v_token ~ ('^' || c_word || e'(?:\\.' || c_word || ')+$') and v_token = any (i_names)
                       then v_token
                       when v_token ~ ('^' || c_quoted || '$')
                       then replace(substr(v_token, 2, length(v_token) - 2), '""', '"')
                  end;
        if v_name is not null and not v_name = any (i_names) and v_name = v_token and lower(v_name) = any (i_names)
           and not exists (select from pg_catalog.pg_get_keywords() k where k.word = lower(v_name)) then
            v_name := lower(v_name);
        end if;
        v_result := v_result || case
            when v_name = any (i_names) and v_next not in ('(', '''') and lower(v_before) not in ('::', 'as')
            then '($1).' || quote_ident(v_name) else v_token end;
        if v_token !~ e'^(?:\\s|--|/\\*)' then
            v_before := v_token;
        end if;
    end loop;
    return v_result;
end;
$$;
