create or replace function londiste.is_replica_func(func_oid oid) returns boolean
language plpgsql stable strict as $$
-- Whether a trigger function writes row changes to a queue.
begin
    return skyq._is_queue_function(func_oid);
end;
$$;
