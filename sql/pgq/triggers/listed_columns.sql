create or replace function pgq._listed_columns(i_list text, i_names text[]) returns text[]
language plpgsql immutable parallel safe as $$
-- Finds the columns that a list among a trigger's arguments names: those whose name stands there between commas, blanks
-- or the list's ends. So blanks separate too, and a name may have commas or blanks itself.
-- i_names:   the table's columns
-- Returns:   those that are listed, in the order of i_names
-- Called by: pgq._trigger_events
declare
    c_separators constant text := e', \t\n\x0b\f\r';
    v_words text[] := string_to_array(translate(i_list, c_separators, ',,,,,,,'), ',');
begin
    return array(
        select u.name
          from unnest(i_names) with ordinality u (name, nr)
         where u.name = any (v_words)
            or u.name ~ ('[' || c_separators || ']')
               and i_list ~ ('(?:^|[' || c_separators || '])' || regexp_replace(u.name, e'(\\W)', e'\\\\\\1', 'g')
                             || '(?:$|[' || c_separators || '])')
         order by u.nr);
end;
$$;
