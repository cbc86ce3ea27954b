create or replace function pgq_node._node_type(i_queue_name text) returns text
language plpgsql as $$
-- What this database is for a queue: root, branch, leaf, or null.
begin
    return (select n.node_type from pgq_node.node_info n where n.queue_name = i_queue_name);
end;
$$;
