create or replace function pgq_node.is_root_node(i_queue_name text) returns boolean
language plpgsql as $$
-- Whether this database is the root of a queue.
-- Errors:    queue does not exist
declare
    v_type text;
begin
    select n.node_type into v_type from pgq_node.node_info n where n.queue_name = i_queue_name;
    if not found then
        raise exception 'queue does not exist: %', i_queue_name;
    end if;
    return v_type = 'root';
end;
$$;
