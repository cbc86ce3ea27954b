create or replace function pgq.maint_rotate_tables_step2() returns integer
language plpgsql as $$
-- Ends the rotation of all queues where step 1 was committed: notes a transaction that began after the switch.
-- Runs in a transaction of its own.
-- Returns:   0
begin
    update pgq.queue q
       set queue_switch_step2 = txid_current()
     where q.queue_switch_step2 is null
       and q.queue_switch_step1 < txid_current();   -- not by the transaction that began it, or an older one
    return 0;
end;
$$;
