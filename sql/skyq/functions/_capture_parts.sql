create or replace function skyq._logged_name(i_name text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
-- The expression for the table's name in an event: the given one, else the table's own at the time of the change.
select coalesce(quote_literal(i_name), 'pg_catalog.concat(TG_TABLE_SCHEMA, ''.'', TG_TABLE_NAME)')
$$;

create or replace function skyq._slot_expression(i_queue pgq.queue) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the expression for the number of the event table to write to, null when pgq.insert_event() has a say.
--
-- Where it must look, the row was written just before, so the transaction has its id: a rotation that the query does not
-- see yet can only end with a newer one, and readers look into both tables for older ones.
select case when skyq._is_queue_watched() and to_regproc('skyq.queue_slot_' || i_queue.queue_id) is not null
            then format('skyq.queue_slot_%s()', i_queue.queue_id)
            else format('(select case when q.queue_per_tx_limit is null and not q.queue_disable_insert then q.queue_cur_table end
                  from pgq.queue q where q.queue_id operator(pg_catalog.=) %s and q.queue_name operator(pg_catalog.=) %L)',
                        i_queue.queue_id, i_queue.queue_name) end
$$;

create or replace function skyq._settings(i_table oid, out nr bigint, out name text, out value text) returns setof record
language sql stable set search_path = pg_catalog, pg_temp as $$
select row_number() over (order by s.rank, s.name), s.name, s.value
  from (select 1, 'search_path', 'pg_catalog, pg_temp'
        union all select 2, t.name, t.value from skyq._text_settings(i_table) t) s (rank, name, value)
$$;

create or replace function skyq._set_settings(i_table oid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the statements that keep the session's settings in v_settings and make those that the slower ways need.
select format(e'v_settings := array[%s];\n            %s',
              string_agg(format('pg_catalog.current_setting(%L)', s.name), ', ' order by s.nr),
              string_agg(format('v_type := pg_catalog.set_config(%L, %L, true);', s.name, s.value), ' ' order by s.nr))
  from skyq._settings(i_table) s
$$;

create or replace function skyq._reset_settings(i_table oid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
-- Writes the statements that give the session its settings back. After an error the server does it.
select string_agg(format('v_type := pg_catalog.set_config(%L, v_settings[%s], true);', s.name, s.nr), ' ' order by s.nr)
  from skyq._settings(i_table) s
$$;
