create or replace function pgq_node.demote_root(
    in i_queue_name text, in i_step integer, in i_new_provider text,
    out ret_code integer, out ret_note text, out last_tick bigint)
returns record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Makes the root a branch, in three transactions: 1 stops writers and ticker, 2 waits for writers and makes the last
-- tick, 3 (once the new root has applied that) takes the new provider.
-- Returns:   200, from step 2 on with the last tick; 404; 301 not root
-- Errors:    steps in wrong order; incorrect step number
-- Locks:     step 2: the queue's event tables against writers
declare
    v_node record;
    v_is_paused boolean;
begin
    select n.node_type, n.worker_name, q.queue_id, q.queue_disable_insert,
           q.queue_data_pfx, q.queue_tick_seq, q.queue_event_seq
      into v_node
      from pgq_node.node_info n
      left join pgq.queue q on q.queue_name = n.queue_name
     where n.queue_name = i_queue_name;
    if not found then
        ret_code := 404;
        ret_note := 'Node not initialized for queue: ' || i_queue_name;
        return;
    end if;
    if v_node.node_type <> 'root' then
        ret_code := 301;
        ret_note := 'Node not root';
        return;
    end if;
    if i_step > 1 and not v_node.queue_disable_insert then
        raise exception 'steps in wrong order';
    end if;

    if i_step = 1 then
        update pgq.queue q set queue_disable_insert = true, queue_external_ticker = true
         where q.queue_name = i_queue_name;
        ret_note := 'Step 1: Writing disabled for: ' || i_queue_name;
    elsif i_step = 2 then
        -- Writers lock the tables until they commit, so this waits for those that came in before step 1. The parent's
        -- lock takes the tables below it along.
        execute 'lock table ' || pgq.quote_fqname(v_node.queue_data_pfx) || ' in exclusive mode';
        -- A ticker that came in before step 1 may still be at it; see pgq._next_tick, which an extension pgq lacks.
        perform pg_advisory_xact_lock(1885827444, v_node.queue_id);
        last_tick := pgq.seq_getval(v_node.queue_tick_seq) + 1;
        update pgq.queue q set queue_ticker_paused = false where q.queue_id = v_node.queue_id and q.queue_ticker_paused;
        v_is_paused := found;
        perform pgq.ticker(i_queue_name, last_tick, now(), nextval(pgq.quote_fqname(v_node.queue_event_seq)::regclass));
        update pgq.queue q set queue_ticker_paused = true where q.queue_id = v_node.queue_id and v_is_paused;
        ret_note := 'Step 2: Inserted last tick: ' || i_queue_name;
    elsif i_step = 3 then
        update pgq_node.node_info n set node_type = 'branch' where n.queue_name = i_queue_name;
        last_tick := (select t.tick_id from pgq.tick t
                       where t.tick_queue = v_node.queue_id order by t.tick_queue desc, t.tick_id desc limit 1);
        update pgq_node.local_state s
           set provider_node = i_new_provider, last_tick_id = last_tick
         where s.queue_name = i_queue_name and s.consumer_name = v_node.worker_name;
        ret_note := 'Step 3: Demoted root to branch: ' || i_queue_name;
    else
        raise exception 'incorrect step number';
    end if;
    ret_code := 200;
end;
$$;
