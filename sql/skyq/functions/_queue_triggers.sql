create or replace function skyq._trigger_args(i_tgargs bytea) returns text[]
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
-- Reads pg_trigger.tgargs: texts in the database's encoding, each ended by a zero byte.
declare
    v_rest bytea := i_tgargs;
    v_end integer;
    v_args text[] := '{}';
begin
    loop
        v_end := position('\x00'::bytea in v_rest);
        exit when v_end = 0;
        v_args := v_args || convert_from(substring(v_rest from 1 for v_end - 1), getdatabaseencoding());
        v_rest := substring(v_rest from v_end + 1);
    end loop;
    return v_args;
end;
$$;

create or replace function skyq._is_queue_function(i_function oid) returns boolean
language sql stable strict set search_path = pg_catalog, pg_temp as $$
-- Whether a trigger function writes row changes to a queue: one of pgq's, or one written for a table by
-- skyq.create_capture(). Their first argument is the queue.
select exists (
    select
      from pg_proc p
      join pg_namespace n on n.oid = p.pronamespace
     where p.oid = i_function
       and (n.nspname = 'pgq' and p.proname in ('logutriga', 'sqltriga', 'jsontriga', 'logtriga')
            or n.nspname = 'skyq' and p.proname ~ '^capture_[0-9]+$'))
$$;

create or replace function skyq._queue_triggers(
    i_table oid, out trigger_oid oid, out trigger_name text, out queue_name text, out args text[], out is_before boolean)
returns setof record
language sql stable strict set search_path = pg_catalog, pg_temp as $$
-- The triggers of a table that write to a queue, with their arguments after the queue's name.
select t.oid, t.tgname::text, a.args[1], a.args[2:], (t.tgtype & 2) > 0
  from pg_trigger t, skyq._trigger_args(t.tgargs) a (args)
 where t.tgrelid = i_table and not t.tgisinternal and skyq._is_queue_function(t.tgfoid)
$$;
