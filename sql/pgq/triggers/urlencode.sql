create or replace function pgq._urlencode(i_value text) returns text
language plpgsql immutable strict parallel safe as $$
-- Urlencodes one text the way event data wants it: 0-9 A-Z a-z _ . - stay, a space becomes +, and every other byte
-- becomes % and two lower-case hex digits: of the text as UTF-8, whatever the database's encoding, since who reads events
-- takes them for that. SQL_ASCII does not know what its bytes say: they stay as they are.
-- Returns:   the encoded text; i_value itself when nothing needs encoding
-- Called by: the trigger functions and generated capture functions, with the writer's search_path: whatever it names, it
--            names with its schema
--
-- A replace() that finds nothing costs 50 ns, a test for what is left 300 ns. So the characters of dates and prose go
-- in one chain, the rest of ASCII in a second, and each other character that occurs costs one replace() more. A text
-- with many different ones (any script but Latin) goes through its bytes: hex digits, a % before each pair, and the
-- pairs of literal bytes turned back.
declare
    -- the argument may bring a collation that matching refuses
    v_value pg_catalog.text collate pg_catalog."C" := i_value;
    v_encoded pg_catalog.text collate pg_catalog."C";
    v_char pg_catalog.text collate pg_catalog."C";
    v_encoding pg_catalog.name;
begin
    if v_value operator(pg_catalog.!~) '[^-.0-9A-Z_a-z]' then
        return v_value;
    end if;
    -- % and + first: the others bring new ones
    v_encoded :=
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        v_value, '%', '%25'), '+', '%2b'), ' ', '+'), ':', '%3a'), ',', '%2c'), '/', '%2f'), '''', '%27'), '@', '%40'),
        '!', '%21'), '?', '%3f');
    if v_encoded operator(pg_catalog.!~) '[^-.0-9A-Z_a-z%+]' then
        return v_encoded;
    end if;
    v_encoded :=
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(v_encoded, '"', '%22'), '#', '%23'), '$', '%24'),
        '&', '%26'), '(', '%28'), ')', '%29'), '*', '%2a'), ';', '%3b'), '<', '%3c'), '=', '%3d'), '>', '%3e'),
        '[', '%5b'), e'\\', '%5c'), ']', '%5d'), '^', '%5e'), '`', '%60'), '{', '%7b'), '|', '%7c'), '}', '%7d'),
        '~', '%7e'), e'\n', '%0a'), e'\t', '%09'), e'\r', '%0d');
    v_encoding := pg_catalog.getdatabaseencoding();
    if v_encoding operator(pg_catalog.<>) 'SQL_ASCII' then
        v_encoding := 'UTF8';
    end if;
    for v_round in 1 .. 6 loop
        v_char := pg_catalog.substring(v_encoded, '[^-.0-9A-Z_a-z%+]');
        if v_char is null then
            return v_encoded;
        end if;
        v_encoded := pg_catalog.replace(v_encoded, v_char, pg_catalog.regexp_replace(
            pg_catalog.encode(pg_catalog.convert_to(v_char, v_encoding), 'hex'),
            '(..)', e'%\\1', 'g'));
    end loop;
    v_encoded := pg_catalog.regexp_replace(
        pg_catalog.encode(pg_catalog.convert_to(v_value, v_encoding), 'hex'),
        '(..)', e'%\\1', 'g');
    return
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.replace(v_encoded, '%20', '+'), '%2d', '-'), '%2e', '.'), '%30', '0'), '%31', '1'), '%32', '2'),
        '%33', '3'), '%34', '4'), '%35', '5'), '%36', '6'), '%37', '7'), '%38', '8'), '%39', '9'), '%41', 'A'),
        '%42', 'B'), '%43', 'C'), '%44', 'D'), '%45', 'E'), '%46', 'F'), '%47', 'G'), '%48', 'H'), '%49', 'I'),
        '%4a', 'J'), '%4b', 'K'), '%4c', 'L'), '%4d', 'M'), '%4e', 'N'), '%4f', 'O'), '%50', 'P'), '%51', 'Q'),
        '%52', 'R'), '%53', 'S'), '%54', 'T'), '%55', 'U'), '%56', 'V'), '%57', 'W'), '%58', 'X'), '%59', 'Y'),
        '%5a', 'Z'), '%5f', '_'), '%61', 'a'), '%62', 'b'), '%63', 'c'), '%64', 'd'), '%65', 'e'), '%66', 'f'),
        '%67', 'g'), '%68', 'h'), '%69', 'i'), '%6a', 'j'), '%6b', 'k'), '%6c', 'l'), '%6d', 'm'), '%6e', 'n'),
        '%6f', 'o'), '%70', 'p'), '%71', 'q'), '%72', 'r'), '%73', 's'), '%74', 't'), '%75', 'u'), '%76', 'v'),
        '%77', 'w'), '%78', 'x'), '%79', 'y'), '%7a', 'z');
end;
$$;
