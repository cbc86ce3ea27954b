create or replace function skyq._capture_args(
    i_args text[],
    out o_special boolean, out o_ignore text[], out o_pkey text, out o_backup boolean, out o_deny boolean,
    out o_table_name text)
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
-- Reads the arguments of a trigger, without the queue's name, that a generated capture function understands.
-- Returns:   o_special false when one of them needs the generic trigger; o_ignore the columns to leave out; o_pkey the
--            key list to use instead of the primary key's, or null; o_table_name the name to log, or null for the
--            table's own
declare
    v_arg text;
begin
    o_special := true;
    o_ignore := '{}';
    o_backup := false;
    o_deny := false;
    foreach v_arg in array coalesce(i_args, '{}') loop
        case
            when v_arg = 'backup' then o_backup := true;
            when v_arg = 'deny' then o_deny := true;
            -- blanks within a list may separate names or belong to one: pgq._listed_columns() looks which
            when v_arg ~ '^(ignore|pkey)=.*[^, ] +[^, ]' or v_arg ~ e'^(ignore|pkey)=.*[\t\n\x0b\f\r]' then
                o_special := false;
            when v_arg like 'ignore=%' then o_ignore := skyq._name_list(substr(v_arg, 8));
            when v_arg like 'pkey=%' then o_pkey := substr(v_arg, 6);
            -- the form londiste.create_trigger() writes for a table that has another name elsewhere
            when v_arg ~ '^ev_extra1=''([^'']|'''')*''$' and o_table_name is null then
                o_table_name := replace(substr(v_arg, 12, length(v_arg) - 12), '''''', '''');
            else o_special := false;
        end case;
    end loop;
end;
$$;
