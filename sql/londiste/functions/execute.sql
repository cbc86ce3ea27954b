create or replace function londiste.execute_start(
    i_queue_name text, i_file_name text, i_sql text, i_expect_root boolean, i_attrs text,
    out ret_code integer, out ret_note text)
language plpgsql as $$
-- Begins a script that runs on all nodes of a cascade. The same transaction runs it and calls execute_finish().
-- Returns:   200 run it; 201 it ran here before
-- Errors:    401 not the root, though expected; 404 no such queue
declare
    v_node_type text;
begin
    select n.node_type into v_node_type from pgq_node.node_info n where n.queue_name = i_queue_name;
    if not found then
        select 404, 'Queue not found: ' || i_queue_name into ret_code, ret_note;
        return;
    elsif i_expect_root and v_node_type <> 'root' then
        select 401, 'Node is not root node: ' || i_queue_name into ret_code, ret_note;
        return;
    end if;
    insert into londiste.applied_execute (queue_name, execute_file, execute_sql, execute_attrs)
    values (i_queue_name, i_file_name, i_sql, i_attrs)
        on conflict (execute_file) do nothing;
    if found then
        select 200, 'Executing: ' || i_file_name into ret_code, ret_note;
    else
        select 201, pg_catalog.format('EXECUTE: "%s" already applied, skipping', i_file_name) into ret_code, ret_note;
    end if;
end;
$$;

create or replace function londiste.execute_start(
    i_queue_name text, i_file_name text, i_sql text, i_expect_root boolean, out ret_code integer, out ret_note text)
language sql as $$
-- Begins a script without attributes.
select e.ret_code, e.ret_note from londiste.execute_start(i_queue_name, i_file_name, i_sql, i_expect_root, null) e
$$;

create or replace function londiste.execute_finish(i_queue_name text, i_file_name text,
                                                   out ret_code integer, out ret_note text)
language plpgsql strict as $$
-- Ends a script; on the root it goes into the queue for the other nodes.
-- Returns:   200 done
-- Errors:    404 execute_start() was not called
declare
    v_script record;
begin
    select e.execute_sql, e.execute_attrs into v_script
      from londiste.applied_execute e where e.execute_file = i_file_name and e.queue_name = i_queue_name;
    if not found then
        select 404, 'execute_file called without execute_start' into ret_code, ret_note;
        return;
    end if;
    if pgq_node.is_root_node(i_queue_name) then
        perform pgq.insert_event(i_queue_name, 'EXECUTE', v_script.execute_sql, i_file_name,
                                 coalesce(v_script.execute_attrs, ''), null, null);
    end if;
    select 200, 'Execute finished: ' || i_file_name into ret_code, ret_note;
end;
$$;
