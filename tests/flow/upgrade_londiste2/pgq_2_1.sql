-- Schema pgq as version 2.1 had it: its tables, and functions with its signatures and results.
create schema pgq;

create table pgq.consumer (
    co_id serial,
    co_name text not null,
    constraint consumer_pkey primary key (co_id),
    constraint consumer_name_uq unique (co_name)
);
create table pgq.queue (
    queue_id serial,
    queue_name text not null,
    queue_ntables integer not null default 3,
    queue_cur_table integer not null default 0,
    queue_rotation_period interval not null default '2 hours',
    queue_switch_step1 bigint not null default txid_current(),
    queue_switch_step2 bigint default txid_current(),
    queue_switch_time timestamptz not null default now(),
    queue_external_ticker boolean not null default false,
    queue_ticker_max_count integer not null default 200,
    queue_ticker_max_lag interval not null default '3 seconds',
    queue_ticker_idle_period interval not null default '1 minute',
    queue_data_pfx text not null,
    queue_event_seq text not null,
    queue_tick_seq text not null,
    constraint queue_pkey primary key (queue_id),
    constraint queue_name_uq unique (queue_name)
);
create table pgq.tick (
    tick_queue integer not null,
    tick_id bigint not null,
    tick_time timestamptz not null default now(),
    tick_snapshot txid_snapshot not null default txid_current_snapshot(),
    constraint tick_pkey primary key (tick_queue, tick_id),
    constraint tick_queue_fkey foreign key (tick_queue) references pgq.queue (queue_id)
);
create sequence pgq.batch_id_seq;
create table pgq.subscription (
    sub_id serial not null,
    sub_queue integer not null,
    sub_consumer integer not null,
    sub_last_tick bigint not null,
    sub_active timestamptz not null default now(),
    sub_batch bigint,
    sub_next_tick bigint,
    constraint subscription_pkey primary key (sub_id),
    constraint sub_queue_fkey foreign key (sub_queue) references pgq.queue (queue_id),
    constraint sub_consumer_fkey foreign key (sub_consumer) references pgq.consumer (co_id)
);
create unique index subscription_consumer_idx on pgq.subscription (sub_queue, sub_consumer);
create table pgq.event_template (
    ev_id bigint not null,
    ev_time timestamptz not null,
    ev_txid bigint not null default txid_current(),
    ev_owner integer,
    ev_retry integer,
    ev_type text,
    ev_data text,
    ev_extra1 text,
    ev_extra2 text,
    ev_extra3 text,
    ev_extra4 text
);
create table pgq.retry_queue (
    ev_retry_after timestamptz not null,
    like pgq.event_template,
    constraint rq_pkey primary key (ev_owner, ev_id),
    constraint rq_owner_fkey foreign key (ev_owner) references pgq.subscription (sub_id)
);
alter table pgq.retry_queue alter column ev_owner set not null;
alter table pgq.retry_queue alter column ev_txid drop not null;
create index rq_retry_idx on pgq.retry_queue (ev_retry_after);
create index rq_retry_owner_idx on pgq.retry_queue (ev_owner, ev_id);
create table pgq.failed_queue (
    ev_failed_reason text,
    ev_failed_time timestamptz not null,
    like pgq.event_template,
    constraint fq_pkey primary key (ev_owner, ev_id),
    constraint fq_owner_fkey foreign key (ev_owner) references pgq.subscription (sub_id)
);
alter table pgq.failed_queue alter column ev_owner set not null;
alter table pgq.failed_queue alter column ev_txid drop not null;

create type pgq.ret_batch_info as (
    queue_name text, consumer_name text, batch_start timestamptz, batch_end timestamptz,
    prev_tick_id bigint, tick_id bigint, lag interval);
create type pgq.ret_batch_event as (
    ev_id bigint, ev_time timestamptz, ev_txid bigint, ev_retry integer, ev_type text, ev_data text,
    ev_extra1 text, ev_extra2 text, ev_extra3 text, ev_extra4 text);
create type pgq.ret_consumer_info as (
    queue_name text, consumer_name text, lag interval, last_seen interval, last_tick bigint, current_batch bigint,
    next_tick bigint);

create function pgq.version() returns text language sql as $$ select '2.1.13'::text $$;

create function pgq.create_queue(x_queue_name text) returns integer language plpgsql security definer as $$
declare
    v_id integer := nextval('pgq.queue_queue_id_seq');
begin
    if exists (select from pgq.queue q where q.queue_name = x_queue_name) then
        return 0;
    end if;
    insert into pgq.queue (queue_id, queue_name, queue_data_pfx, queue_event_seq, queue_tick_seq)
    values (v_id, x_queue_name, 'pgq.event_' || v_id, 'pgq.event_' || v_id || '_id_seq', 'pgq.event_' || v_id || '_tick_seq');
    execute format('create sequence pgq.event_%s_id_seq', v_id);
    execute format('create sequence pgq.event_%s_tick_seq', v_id);
    execute format('create table pgq.event_%s () inherits (pgq.event_template)', v_id);
    for i in 0..2 loop
        execute format('create table pgq.event_%s_%s () inherits (pgq.event_%s)', v_id, i, v_id);
        execute format('alter table pgq.event_%s_%s alter column ev_id set default nextval(%L)', v_id, i,
                       format('pgq.event_%s_id_seq', v_id));
        execute format('create index event_%s_%s_txid_idx on pgq.event_%s_%s (ev_txid)', v_id, i, v_id, i);
    end loop;
    perform pgq.ticker(x_queue_name, nextval(format('pgq.event_%s_tick_seq', v_id)));
    return 1;
end $$;

create function pgq.insert_event_raw(
    queue_name text, ev_id bigint, ev_time timestamptz, ev_owner integer, ev_retry integer,
    ev_type text, ev_data text, ev_extra1 text, ev_extra2 text, ev_extra3 text, ev_extra4 text)
returns bigint language plpgsql as $$
#variable_conflict use_variable
declare
    v_queue record;
    v_id bigint;
begin
    select q.queue_data_pfx, q.queue_cur_table, q.queue_event_seq into v_queue
      from pgq.queue q where q.queue_name = insert_event_raw.queue_name;
    if not found then
        raise exception 'No such queue';
    end if;
    v_id := coalesce(ev_id, nextval(v_queue.queue_event_seq));
    execute format('insert into %s_%s (ev_id, ev_time, ev_owner, ev_retry, ev_type, ev_data, ev_extra1, ev_extra2, '
                   || 'ev_extra3, ev_extra4) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)',
                   v_queue.queue_data_pfx, v_queue.queue_cur_table)
      using v_id, coalesce(ev_time, now()), ev_owner, ev_retry, ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4;
    return v_id;
end $$;
create function pgq.insert_event(queue_name text, ev_type text, ev_data text, ev_extra1 text, ev_extra2 text,
                                 ev_extra3 text, ev_extra4 text)
returns bigint language plpgsql security definer as $$
begin
    return pgq.insert_event_raw(queue_name, null, now(), null, null, ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3,
                                ev_extra4);
end $$;
create function pgq.insert_event(queue_name text, ev_type text, ev_data text) returns bigint language plpgsql as $$
begin
    return pgq.insert_event(queue_name, ev_type, ev_data, null, null, null, null);
end $$;

create function pgq.ticker(i_queue_name text, i_tick_id bigint) returns bigint language plpgsql security definer as $$
begin
    insert into pgq.tick (tick_queue, tick_id)
    select q.queue_id, i_tick_id from pgq.queue q where q.queue_name = i_queue_name and not q.queue_external_ticker;
    return i_tick_id;
end $$;
create function pgq.force_tick(i_queue_name text) returns bigint language plpgsql security definer as $$
declare
    v_queue record;
begin
    select q.queue_id, q.queue_event_seq, q.queue_ticker_max_count into v_queue
      from pgq.queue q where q.queue_name = i_queue_name;
    perform setval(v_queue.queue_event_seq, nextval(v_queue.queue_event_seq) + 2 * v_queue.queue_ticker_max_count + 1000);
    return (select max(t.tick_id) from pgq.tick t where t.tick_queue = v_queue.queue_id);
end $$;

create function pgq.register_consumer_at(x_queue_name text, x_consumer_name text, x_tick_pos bigint)
returns integer language plpgsql security definer as $$
declare
    v_queue integer := (select q.queue_id from pgq.queue q where q.queue_name = x_queue_name);
begin
    insert into pgq.consumer (co_name) values (x_consumer_name) on conflict do nothing;
    insert into pgq.subscription (sub_queue, sub_consumer, sub_last_tick)
    select v_queue, c.co_id, coalesce(x_tick_pos, (select max(t.tick_id) from pgq.tick t where t.tick_queue = v_queue))
      from pgq.consumer c
     where c.co_name = x_consumer_name
        on conflict (sub_queue, sub_consumer) do update
       set sub_last_tick = coalesce(x_tick_pos, pgq.subscription.sub_last_tick),
           sub_batch = case when x_tick_pos is null then pgq.subscription.sub_batch end,
           sub_next_tick = case when x_tick_pos is null then pgq.subscription.sub_next_tick end;
    return 1;
end $$;
create function pgq.register_consumer(x_queue_name text, x_consumer_id text) returns integer language sql as $$
    select pgq.register_consumer_at(x_queue_name, x_consumer_id, null)
$$;
create function pgq.unregister_consumer(x_queue_name text, x_consumer_name text) returns integer language plpgsql as $$
begin
    delete from pgq.subscription s using pgq.queue q, pgq.consumer c
     where q.queue_id = s.sub_queue and c.co_id = s.sub_consumer and q.queue_name = x_queue_name
       and c.co_name = x_consumer_name;
    return 1;
end $$;

create function pgq.next_batch(x_queue_name text, x_consumer_name text) returns bigint
language plpgsql security definer as $$
declare
    v_sub record;
    v_next bigint;
begin
    select s.sub_id, s.sub_queue, s.sub_last_tick, s.sub_batch into v_sub
      from pgq.subscription s join pgq.queue q on q.queue_id = s.sub_queue join pgq.consumer c on c.co_id = s.sub_consumer
     where q.queue_name = x_queue_name and c.co_name = x_consumer_name;
    if not found then
        raise exception 'Not subscriber to queue: %/%', x_queue_name, x_consumer_name;
    end if;
    if v_sub.sub_batch is not null then
        return v_sub.sub_batch;
    end if;
    v_next := (select min(t.tick_id) from pgq.tick t where t.tick_queue = v_sub.sub_queue and t.tick_id > v_sub.sub_last_tick);
    if v_next is null then
        return null;
    end if;
    update pgq.subscription s set sub_batch = nextval('pgq.batch_id_seq'), sub_next_tick = v_next, sub_active = now()
     where s.sub_id = v_sub.sub_id
    returning s.sub_batch into v_next;
    return v_next;
end $$;
create function pgq.get_batch_info(x_batch_id bigint) returns pgq.ret_batch_info language sql security definer as $$
    select q.queue_name, c.co_name, p.tick_time, n.tick_time, s.sub_last_tick, s.sub_next_tick, now() - n.tick_time
      from pgq.subscription s
      join pgq.queue q on q.queue_id = s.sub_queue
      join pgq.consumer c on c.co_id = s.sub_consumer
      left join pgq.tick p on p.tick_queue = s.sub_queue and p.tick_id = s.sub_last_tick
      left join pgq.tick n on n.tick_queue = s.sub_queue and n.tick_id = s.sub_next_tick
     where s.sub_batch = x_batch_id
$$;
create function pgq.batch_event_sql(x_batch_id bigint) returns text language sql as $$
    select format('select ev_id, ev_time, ev_txid, ev_retry, ev_type, ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4
                     from %s where txid_visible_in_snapshot(ev_txid, %L) and not txid_visible_in_snapshot(ev_txid, %L)
                      and (ev_owner is null or ev_owner = %s) order by 1',
                  q.queue_data_pfx, n.tick_snapshot, p.tick_snapshot, s.sub_id)
      from pgq.subscription s
      join pgq.queue q on q.queue_id = s.sub_queue
      join pgq.tick p on p.tick_queue = s.sub_queue and p.tick_id = s.sub_last_tick
      join pgq.tick n on n.tick_queue = s.sub_queue and n.tick_id = s.sub_next_tick
     where s.sub_batch = x_batch_id
$$;
create function pgq.get_batch_events(x_batch_id bigint) returns setof pgq.ret_batch_event language plpgsql as $$
begin
    return query execute pgq.batch_event_sql(x_batch_id);
end $$;
create function pgq.finish_batch(x_batch_id bigint) returns integer language plpgsql security definer as $$
begin
    update pgq.subscription set sub_last_tick = sub_next_tick, sub_next_tick = null, sub_batch = null, sub_active = now()
     where sub_batch = x_batch_id;
    return 1;
end $$;
create function pgq.get_consumer_info(x_queue text, x_consumer text) returns setof pgq.ret_consumer_info language sql as $$
    select q.queue_name, c.co_name, now() - t.tick_time, now() - s.sub_active, s.sub_last_tick, s.sub_batch, s.sub_next_tick
      from pgq.subscription s
      join pgq.queue q on q.queue_id = s.sub_queue
      join pgq.consumer c on c.co_id = s.sub_consumer
      left join pgq.tick t on t.tick_queue = s.sub_queue and t.tick_id = s.sub_last_tick
     where (x_queue is null or q.queue_name = x_queue) and (x_consumer is null or c.co_name = x_consumer)
$$;
create function pgq.event_failed(x_batch_id bigint, x_event_id bigint, x_reason text) returns integer
language sql security definer as $$
    insert into pgq.failed_queue (ev_failed_reason, ev_failed_time, ev_id, ev_time, ev_txid, ev_owner, ev_retry, ev_type,
                                  ev_data, ev_extra1, ev_extra2, ev_extra3, ev_extra4)
    select x_reason, now(), e.ev_id, e.ev_time, null, s.sub_id, e.ev_retry, e.ev_type, e.ev_data, e.ev_extra1, e.ev_extra2,
           e.ev_extra3, e.ev_extra4
      from pgq.get_batch_events(x_batch_id) e, pgq.subscription s
     where s.sub_batch = x_batch_id and e.ev_id = x_event_id;
    select 1
$$;
create function pgq.failed_event_count(x_queue_name text, x_consumer_name text) returns integer language sql as $$
    select count(*)::integer from pgq.failed_queue
$$;

create function pgq.quote_fqname(i_name text) returns text language sql immutable strict as $$
    select quote_ident(split_part(i_name, '.', 1)) || '.' || quote_ident(substr(i_name, strpos(i_name, '.') + 1))
$$;
-- The C function of 2.1, in words: arguments queue, a letter per column, table.
create function pgq.logtriga() returns trigger language plpgsql as $$
declare
    v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    v_column record;
    v_names text[] := '{}';
    v_values text[] := '{}';
    v_sets text[] := '{}';
    v_where text[] := '{}';
    v_key text;
begin
    for v_column in
        select quote_ident(a.attname) as name, a.attname as raw,
               substr(tg_argv[1], (row_number() over (order by a.attnum))::integer, 1) as kind
          from pg_attribute a where a.attrelid = tg_relid and a.attnum > 0 and not a.attisdropped order by a.attnum
    loop
        continue when v_column.kind not in ('k', 'v');
        v_names := v_names || v_column.name::text;
        v_values := v_values || coalesce(quote_nullable(v_new ->> v_column.raw), 'null');
        if v_column.kind = 'k' then
            v_key := coalesce(v_key, format('%s=%L', v_column.name, v_old ->> v_column.raw));
            v_where := v_where || format('%s=%L', v_column.name, v_old ->> v_column.raw);
        elsif v_new ->> v_column.raw is distinct from v_old ->> v_column.raw then
            v_sets := v_sets || (v_column.name || '=' || coalesce(quote_nullable(v_new ->> v_column.raw), 'null'));
        end if;
    end loop;
    perform pgq.insert_event(tg_argv[0], left(tg_op, 1), case tg_op
        when 'INSERT' then format('(%s) values (%s)', array_to_string(v_names, ','), array_to_string(v_values, ','))
        when 'UPDATE' then coalesce(nullif(array_to_string(v_sets, ', '), ''), v_key)
                           || ' where ' || array_to_string(v_where, ' and ')
        else array_to_string(v_where, ' and ') end, tg_table_schema || '.' || tg_table_name, null, null, null);
    return null;
end $$;
