create or replace function pgq.maint_operations(out func_name text, out func_arg text) returns setof record
language plpgsql as $$
-- What maintenance has to do now, in order. Each is a function, with one argument when func_arg is not null, or VACUUM
-- of the table func_arg; each runs in a transaction of its own, again while it returns a non-zero integer.
declare
    v_rotates boolean := false;
begin
    func_name := 'pgq.maint_rotate_tables_step1';
    for func_arg in
        select q.queue_name from pgq.queue q
         where q.queue_rotation_period is not null and q.queue_switch_step2 is not null
           and (q.queue_switch_time + q.queue_rotation_period < current_timestamp
                or q.queue_switch_time - q.queue_rotation_period > current_timestamp)
         order by q.queue_name
    loop
        v_rotates := true;
        return next;
    end loop;
    if v_rotates or exists (select 1 from pgq.queue q where q.queue_switch_step2 is null) then
        func_name := 'pgq.maint_rotate_tables_step2';
        func_arg := null;
        return next;
    end if;

    for func_name, func_arg in
        select f.name, q.queue_name
          from pgq.queue q cross join unnest(q.queue_extra_maint) with ordinality f (name, nr)
         order by q.queue_name, f.nr
    loop
        return next;
    end loop;

    func_name := 'vacuum';
    for func_arg in select t from pgq.maint_tables_to_vacuum() t loop
        return next;
    end loop;

    -- Other schemas may be there or not, so they are read by text.
    if to_regprocedure('pgq_node.maint_watermark(text)') is not null then
        return query execute 'select ''pgq_node.maint_watermark'', n.queue_name from pgq_node.node_info n'
                             ' where n.node_type = ''root'' order by n.queue_name';
    end if;
    if to_regprocedure('londiste.root_check_seqs(text)') is not null then
        return query execute 'select ''londiste.root_check_seqs'', n.queue_name from pgq_node.node_info n'
                             ' where n.node_type = ''root'' and exists (select 1 from londiste.seq_info s'
                             ' where s.queue_name = n.queue_name and s.local) order by n.queue_name';
    end if;
    if to_regprocedure('londiste.periodic_maintenance()') is not null then
        func_name := 'londiste.periodic_maintenance';
        func_arg := null;
        return next;
    end if;
end;
$$;
