create or replace function pgq_node.upgrade_schema() returns integer
language plpgsql as $$
-- Brings tables of an older pgq_node 3 up to date.
-- Returns:   how many changes were made
begin
    perform 1 from pg_catalog.pg_attribute a
      where a.attrelid = 'pgq_node.node_info'::regclass and a.attname = 'node_attrs' and not a.attisdropped;
    if found then
        return 0;
    end if;
    alter table pgq_node.node_info add column node_attrs text;
    return 1;
end;
$$;
