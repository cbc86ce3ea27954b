create or replace function skyq._is_queue_watched() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Whether skyq.queue_slot_N() follows the queue's row; else that must be looked up for each change.
select exists (select from pg_trigger t
                where t.tgrelid = 'pgq.queue'::regclass and t.tgname = 'skyq_queue_slot' and t.tgenabled = 'A')
$$;

create or replace function skyq._write_queue_slot(i_queue_id integer, i_slot integer) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Writes skyq.queue_slot_N(), which says into which event table of a queue the generated capture functions log: a
-- constant, which the planner puts in the place of the call, so that a change pays nothing to know it.
--
-- To write it anew throws away all plans with the old constant, in every session, as soon as that notices: when it takes
-- a lock or begins a transaction. A change in between may be logged into the event table of before. Readers find it
-- there, as pgq.batch_event_tables() looks into all tables for events of the batch's transactions, and it cannot be
-- truncated unread: pgq.maint_rotate_tables_step1() locks the table, and then looks for what consumers still need.
-- Schemas pgq of other makers promise neither; for them nothing like this is written.
-- i_slot:    null: none, pgq.insert_event() knows what to say
-- Returns:   the function's name in schema skyq
declare
    v_function text := 'queue_slot_' || i_queue_id;
    v_is_new boolean;
begin
    v_is_new := to_regproc('skyq.' || v_function) is null;
    -- Stable: what is immutable is evaluated and forgotten; only of what is put in its place does the plan keep a note.
    execute format('create or replace function skyq.%I() returns pg_catalog.int4 language sql stable as ''select %s''',
                   v_function, coalesce(i_slot::text, 'null::pg_catalog.int4'));
    if v_is_new then
        execute format('revoke all on function skyq.%I() from public', v_function);
    end if;
    return v_function;
end;
$$;

create or replace function skyq._queue_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
-- Keeps skyq.queue_slot_N() equal to the queue's row, in the transaction that changes it.
begin
    if to_regproc('skyq.queue_slot_' || OLD.queue_id) is null then
        return null;        -- no table is captured into this queue
    end if;
    if TG_OP = 'DELETE' then
        perform skyq._write_queue_slot(OLD.queue_id, null);
    else
        perform skyq._write_queue_slot(OLD.queue_id, skyq._slot_of(NEW));
    end if;
    return null;
end;
$$;

create or replace function skyq._slot_of(i_queue pgq.queue) returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- The event table that captures may write to without a look at the queue's limits; null: none.
select case when i_queue.queue_per_tx_limit is null and not i_queue.queue_disable_insert then i_queue.queue_cur_table end
$$;

do $watch$
begin
    -- On our own schema pgq only: see skyq._write_queue_slot().
    if exists (select from skyq.migration m where m.schema_name = 'pgq')
       and not exists (select from pg_catalog.pg_extension e where e.extname = 'pgq')
       and pg_catalog.pg_has_role((select c.relowner from pg_catalog.pg_class c where c.oid = 'pgq.queue'::pg_catalog.regclass),
                                  'USAGE')
       and not exists (select from pg_catalog.pg_trigger t
                        where t.tgrelid = 'pgq.queue'::pg_catalog.regclass and t.tgname = 'skyq_queue_slot') then
        create trigger skyq_queue_slot
         after delete or update of queue_cur_table, queue_disable_insert, queue_per_tx_limit on pgq.queue
           for each row execute function skyq._queue_changed();
        alter table pgq.queue enable always trigger skyq_queue_slot;
    end if;
end;
$watch$;
