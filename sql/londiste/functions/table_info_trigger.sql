create or replace function londiste.table_info_trigger() returns trigger
language plpgsql as $$
-- When a table leaves a queue, whatever the reason, its triggers go with it.
begin
    perform londiste.drop_table_triggers(old.queue_name, old.table_name);
    return old;
end;
$$;

do $$
begin
    perform 1 from pg_catalog.pg_trigger t
      where t.tgrelid = 'londiste.table_info'::regclass and t.tgname = 'table_info_trigger_sync';
    if not found then
        create trigger table_info_trigger_sync before delete on londiste.table_info
            for each row execute function londiste.table_info_trigger();
    end if;
    -- also for workers, who write under session_replication_role = replica
    perform 1 from pg_catalog.pg_trigger t
      where t.tgrelid = 'londiste.table_info'::regclass and t.tgname = 'table_info_trigger_sync' and t.tgenabled = 'A';
    if not found then
        alter table londiste.table_info enable always trigger table_info_trigger_sync;
    end if;
end;
$$;
