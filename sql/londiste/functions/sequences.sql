create or replace function londiste.get_seq_list(
    i_queue_name text, out seq_name text, out last_value bigint, out local boolean)
returns setof record
language sql strict as $$
-- Sequences of a queue in the order of registration, with the value published last.
select s.seq_name, s.last_value, s.local from londiste.seq_info s where s.queue_name = i_queue_name order by s.nr
$$;

create or replace function londiste.local_add_seq(i_queue_name text, i_seq_name text,
                                                  out ret_code integer, out ret_note text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Adds a sequence to this node, and sets it to the published value; on the root adds it for the whole cascade and
-- publishes its value.
-- Returns:   200 added; 201 there already
-- Errors:    400 no such sequence; 404 not in the queue; queue does not exist
declare
    v_name text := londiste.make_fqname(i_seq_name);
    v_is_root boolean := pgq_node.is_root_node(i_queue_name);
    v_known londiste.seq_info;
begin
    if londiste.find_seq_oid(v_name) is null then
        select 400, 'Sequence not found: ' || v_name into ret_code, ret_note;
        return;
    end if;
    select s.* into v_known from londiste.seq_info s where s.queue_name = i_queue_name and s.seq_name = v_name;
    if v_known.local then
        select 201, 'Sequence already added: ' || v_name into ret_code, ret_note;
        return;
    end if;
    if v_is_root then
        insert into londiste.seq_info as s (queue_name, seq_name, local, last_value)
        values (i_queue_name, v_name, true, pgq.seq_getval(v_name))
            on conflict (queue_name, seq_name) do update set local = true, last_value = excluded.last_value;
        perform 1 from londiste.root_check_seqs(i_queue_name);
    else
        if v_known.queue_name is null then
            select 404, 'Unknown sequence: ' || v_name into ret_code, ret_note;
            return;
        end if;
        update londiste.seq_info s set local = true where s.queue_name = i_queue_name and s.seq_name = v_name;
        perform pgq.seq_setval(v_name, v_known.last_value);
    end if;
    select 200, 'Sequence added: ' || v_name into ret_code, ret_note;
end;
$$;

create or replace function londiste.local_remove_seq(i_queue_name text, i_seq_name text,
                                                     out ret_code integer, out ret_note text)
language plpgsql strict set search_path = pg_catalog, pg_temp as $$
-- Removes a sequence from this node; on the root from the whole cascade.
-- Returns:   200 removed
-- Errors:    400 not known, not added here; queue does not exist
declare
    v_name text := londiste.make_fqname(i_seq_name);
    v_is_root boolean := pgq_node.is_root_node(i_queue_name);
begin
    if v_is_root then
        delete from londiste.seq_info s where s.queue_name = i_queue_name and s.seq_name = v_name;
    else
        update londiste.seq_info s set local = false
         where s.queue_name = i_queue_name and s.seq_name = v_name and s.local;
    end if;
    if not found then
        select 400, 'Sequence not found: ' || v_name into ret_code, ret_note;
        return;
    end if;
    if v_is_root then
        perform londiste.root_notify_change(i_queue_name, 'londiste.remove-seq', v_name);
    end if;
    select 200, 'Sequence removed: ' || v_name into ret_code, ret_note;
end;
$$;

create or replace function londiste.global_update_seq(i_queue_name text, i_seq_name text, i_value bigint,
                                                      out ret_code integer, out ret_note text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Takes over a value that the root published: for every node, and for the sequence itself where it was added.
-- Returns:   200 taken
-- Errors:    402 on the root; 404 no such queue
declare
    v_name text := londiste.make_fqname(i_seq_name);
    v_node_type text;
    v_is_local boolean;
begin
    select n.node_type into v_node_type from pgq_node.node_info n where n.queue_name = i_queue_name;
    if not found then
        select 404, 'Set not found: ' || i_queue_name into ret_code, ret_note;
        return;
    elsif v_node_type = 'root' then
        select 402, 'Must not run on root node' into ret_code, ret_note;
        return;
    end if;
    insert into londiste.seq_info as s (queue_name, seq_name, last_value) values (i_queue_name, v_name, i_value)
        on conflict (queue_name, seq_name) do update set last_value = i_value
    returning s.local into v_is_local;
    if v_is_local and londiste.find_seq_oid(v_name) is not null then
        perform pgq.seq_setval(v_name, i_value);
    end if;
    select 200, 'Sequence updated' into ret_code, ret_note;
end;
$$;

create or replace function londiste.global_remove_seq(i_queue_name text, i_seq_name text,
                                                      out ret_code integer, out ret_note text)
language plpgsql strict as $$
-- Forgets a sequence that the queue no longer carries. The sequence stays.
-- Returns:   200 removed
-- Errors:    400 not known
declare
    v_name text := londiste.make_fqname(i_seq_name);
begin
    delete from londiste.seq_info s where s.queue_name = i_queue_name and s.seq_name = v_name;
    if found then
        select 200, 'Sequence removed: ' || v_name into ret_code, ret_note;
    else
        select 400, 'Sequence not found: ' || v_name into ret_code, ret_note;
    end if;
end;
$$;

create or replace function londiste.root_check_seqs(i_queue_name text, i_buffer bigint,
                                                    out ret_code integer, out ret_note text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Publishes the value of each sequence that has come within i_buffer of what was published, 3 * i_buffer ahead in its
-- own direction, so that a node that takes over does not give numbers again. A buffer below 10 means 10000; a sequence
-- with little room gets a hundredth of its range. Nothing beyond a sequence's bounds is published.
-- Returns:   100 done
-- Errors:    402 not on the root; 404 no such queue
declare
    v_buffer bigint := case when i_buffer >= 10 then i_buffer else 10000 end;
    v_node_type text;
    v_seq record;
    v_reached numeric;
    v_step numeric;
    v_value bigint;
begin
    select n.node_type into v_node_type from pgq_node.node_info n where n.queue_name = i_queue_name;
    if not found then
        select 404, 'Queue not found: ' || i_queue_name into ret_code, ret_note;
        return;
    elsif v_node_type <> 'root' then
        select 402, 'Not a root node' into ret_code, ret_note;
        return;
    end if;
    for v_seq in
        select s.seq_name, s.last_value, q.seqmin::numeric as low, q.seqmax::numeric as high,
               sign(q.seqincrement::numeric) as direction
          from londiste.seq_info s
          join pg_sequence q on q.seqrelid = londiste.find_seq_oid(s.seq_name)
         where s.queue_name = i_queue_name and s.local
         order by s.nr
           for update of s
    loop
        v_reached := pgq.seq_getval(v_seq.seq_name);
        v_step := v_seq.direction * least(v_buffer, ceil((v_seq.high - v_seq.low) / 100));
        if (v_reached + v_step - v_seq.last_value) * v_seq.direction >= 0 then
            v_value := least(v_seq.high, greatest(v_seq.low, v_reached + 3 * v_step));
            if v_value <> v_seq.last_value then
                update londiste.seq_info s set last_value = v_value
                 where s.queue_name = i_queue_name and s.seq_name = v_seq.seq_name;
                perform pgq.insert_event(i_queue_name, 'londiste.update-seq', v_value::text, v_seq.seq_name,
                                         null, null, null);
            end if;
        end if;
    end loop;
    select 100, 'Sequences updated' into ret_code, ret_note;
end;
$$;

create or replace function londiste.root_check_seqs(i_queue_name text, out ret_code integer, out ret_note text)
language sql as $$
-- Publishes sequence values with the usual head-room.
select c.ret_code, c.ret_note from londiste.root_check_seqs(i_queue_name, 10000) c
$$;
