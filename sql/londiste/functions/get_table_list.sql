create or replace function londiste._coordinate_copy(i_queue_name text, i_table_name text,
                                                     out copy_role text, out copy_pos integer)
language plpgsql stable strict set search_path = pg_catalog, pg_temp as $$
-- What a copy of a table that several queues fill has to mind. One of the copies leads: it drops the indexes, and makes
-- them again when the others have their rows.
-- Returns:   copy_role: lead; wait-copy, until the lead has dropped the indexes; wait-replay, before replaying, until
--            the lead has made them again; null, nothing to mind. copy_pos: how many copies of the table go first.
declare
    v_dest text;
    v_state text;
    v_lead text;
    v_is_lead_ready boolean;
    v_others integer;
begin
    select coalesce(t.dest_table, t.table_name), t.merge_state into v_dest, v_state
      from londiste.table_info t where t.queue_name = i_queue_name and t.table_name = i_table_name;
    select count(*) filter (where t.merge_state = 'in-copy' and t.queue_name < i_queue_name),
           count(*) filter (where t.queue_name <> i_queue_name),
           (array_agg(t.queue_name order by t.dropped_ddl is null, t.queue_name)
               filter (where t.merge_state = 'in-copy' or t.dropped_ddl is not null))[1],
           bool_or(t.dropped_ddl is not null)
      into copy_pos, v_others, v_lead, v_is_lead_ready
      from londiste.table_info t
     where coalesce(t.dest_table, t.table_name) = v_dest and t.local and t.merge_state in ('in-copy', 'catching-up');
    copy_role := case
        when v_state is null or v_state not in ('in-copy', 'catching-up') or v_others = 0 or v_lead is null then null
        when v_lead = i_queue_name then 'lead'
        when v_is_lead_ready then 'wait-replay'
        when v_state = 'in-copy' then 'wait-copy'
    end;
end;
$$;

create or replace function londiste.get_table_list(
    i_queue_name text, out table_name text, out local boolean, out merge_state text, out custom_snapshot text,
    out table_attrs text, out dropped_ddl text, out copy_role text, out copy_pos integer, out dest_table text)
returns setof record
language sql stable strict as $$
-- Tables of a queue in the order of registration.
select t.table_name, t.local, t.merge_state, t.custom_snapshot, t.table_attrs, t.dropped_ddl, c.copy_role, c.copy_pos,
       t.dest_table
  from londiste.table_info t
 cross join lateral londiste._coordinate_copy(t.queue_name, t.table_name) c
 where t.queue_name = i_queue_name
 order by t.nr
$$;
