create or replace function skyq.fence_worker() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Refuses what a daemon of Londiste 3 writes for a worker that skyq has taken over: its position, and the states of its
-- copies. Its transaction rolls back, so that nothing is applied twice. Sessions of skyq say so in application_name.
declare
    v_worker text;
begin
    if starts_with(current_setting('application_name'), 'skyq ') then
        return new;
    end if;
    select u.worker_name into v_worker
      from skyq.upgrade u
     where u.queue_name = new.queue_name and u.side = 'subscriber' and u.from_version = '3'
       and (tg_table_name = 'table_info' or to_jsonb(new) ->> 'consumer_name' = u.worker_name
            or starts_with(to_jsonb(new) ->> 'consumer_name', u.worker_name || '.copy.'))
     limit 1;
    if found then
        raise exception 'Queue "%" is replayed by skyq here: worker "%" of Londiste must not go on', new.queue_name, v_worker
              using hint = 'Stop this daemon for good, or give the worker back to it with `skyq upgrade CONFIG --undo`.';
    end if;
    return new;
end;
$$;

create or replace function skyq.set_fence() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Puts skyq.fence_worker() in front of the tables that a worker of Londiste 3 writes, or takes it away when no worker is
-- taken over any more.
-- Returns:   false when this role may not, since it does not own those tables; nothing is changed then
-- Locks:     share row exclusive on both tables, access exclusive to take it away, until commit
declare
    v_is_wanted boolean := exists (select from skyq.upgrade u where u.side = 'subscriber' and u.from_version = '3');
    v_table regclass;
begin
    foreach v_table in array array['pgq_node.local_state', 'londiste.table_info']::regclass[] loop
        if exists (select from pg_trigger t where t.tgrelid = v_table and t.tgname = 'skyq_fence') then
            if not v_is_wanted then
                execute format('drop trigger skyq_fence on %s', v_table);
            end if;
        elsif v_is_wanted then
            execute format('create trigger skyq_fence before update on %s for each row when (%s) '
                           || 'execute function skyq.fence_worker()', v_table,
                           case v_table when 'pgq_node.local_state'::regclass
                                then 'old.last_tick_id is distinct from new.last_tick_id'
                                else 'old.local and new.local and new.merge_state is not null '
                                     || 'and old.merge_state is distinct from new.merge_state '
                                     || 'and old.merge_state is distinct from ''ok''' end);
            -- also for daemons, who write under session_replication_role = replica
            execute format('alter table %s enable always trigger skyq_fence', v_table);
        end if;
    end loop;
    return true;
exception when insufficient_privilege then
    return false;
end;
$$;
