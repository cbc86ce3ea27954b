create or replace function pgq.finish_batch(x_batch_id bigint) returns integer
language plpgsql security definer
-- As in pgq.next_batch_custom: the update goes by the row's place, also in a session that knew the table as a small one.
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
-- Closes a batch; the consumer's position moves to its last tick.
-- Returns:   1, or 0 with a warning for an unknown batch
declare
    v_sub record;
    v_seen tid;
begin
    loop
        select b.row_id into v_sub from pgq._open_batch(x_batch_id) b;
        if v_sub.row_id is null or v_sub.row_id = v_seen then
            raise warning 'finish_batch: batch % not found', x_batch_id;
            return 0;
        end if;
        update pgq.subscription s
           set sub_active = now(), sub_last_tick = s.sub_next_tick, sub_next_tick = null, sub_batch = null
         where s.ctid = v_sub.row_id and s.sub_batch = x_batch_id;
        if found then
            return 1;
        end if;
        -- Somebody wrote the row meanwhile: it lies elsewhere now, or the batch is closed.
        v_seen := v_sub.row_id;
    end loop;
end;
$$;
