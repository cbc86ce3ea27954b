create or replace function skyq._encoded(i_value text) returns text
language sql immutable parallel safe as $$
-- skyq._urlencode() for generated capture functions: the planner puts this expression in the place of the call, so that
-- texts with nothing to encode, and ordinary prose, cost no call at all.
-- Returns:   null for null
select case
    when i_value collate "C" !~ '[^-.0-9A-Z_a-z]' then i_value
    when i_value collate "C" !~ '[^-.0-9A-Z_a-z ,&%+:/@()''"!?;=#<>*]' then
        -- % and + first: the others bring new ones
        replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(
        replace(replace(replace(replace(replace(replace(replace(
        i_value, '%', '%25'), '+', '%2b'), ' ', '+'), ',', '%2c'), '&', '%26'), ':', '%3a'), '/', '%2f'), '@', '%40'),
        '(', '%28'), ')', '%29'), '''', '%27'), '"', '%22'), '!', '%21'), '?', '%3f'), ';', '%3b'), '=', '%3d'),
        '#', '%23'), '<', '%3c'), '>', '%3e'), '*', '%2a')
    else skyq._urlencode(i_value)
end
$$;
