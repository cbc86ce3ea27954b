-- Schema londiste as version 2.1 had it, as far as its daemons use it.
create schema londiste;

create table londiste.provider_table (
    nr serial not null,
    queue_name text not null,
    table_name text not null,
    trigger_name text,
    primary key (queue_name, table_name)
);
create table londiste.provider_seq (
    nr serial not null,
    queue_name text not null,
    seq_name text not null,
    primary key (queue_name, seq_name)
);
create table londiste.completed (
    consumer_id text not null,
    last_tick_id bigint not null,
    primary key (consumer_id)
);
create table londiste.link (source text not null, dest text not null, primary key (source), unique (dest));
create table londiste.subscriber_table (
    nr serial not null,
    queue_name text not null,
    table_name text not null,
    snapshot text,
    merge_state text,
    trigger_name text,
    skip_truncate bool,
    constraint subscriber_table_pkey primary key (queue_name, table_name)
);
create table londiste.subscriber_seq (
    nr serial not null,
    queue_name text not null,
    seq_name text not null,
    constraint subscriber_seq_pkey primary key (queue_name, seq_name)
);
create table londiste.subscriber_pending_fkeys (
    from_table text not null,
    to_table text not null,
    fkey_name text not null,
    fkey_def text not null,
    primary key (from_table, fkey_name)
);
create table londiste.subscriber_pending_triggers (
    table_name text not null,
    trigger_name text not null,
    trigger_def text not null,
    primary key (table_name, trigger_name)
);
create type londiste.ret_subscriber_table as (
    table_name text, merge_state text, snapshot text, trigger_name text, skip_truncate bool);

create function londiste.get_last_tick(i_consumer text) returns bigint language sql as $$
    select last_tick_id from londiste.completed where consumer_id = i_consumer
$$;
create function londiste.set_last_tick(i_consumer text, i_tick_id bigint) returns integer language plpgsql as $$
begin
    insert into londiste.completed (consumer_id, last_tick_id) values (i_consumer, i_tick_id)
        on conflict (consumer_id) do update set last_tick_id = excluded.last_tick_id;
    return 1;
end $$;
-- The one function whose name version 3 uses with another result.
create function londiste.find_table_fkeys(i_table_name text) returns setof londiste.subscriber_pending_fkeys
language sql as $$ select * from londiste.subscriber_pending_fkeys where false $$;
create function londiste.subscriber_get_table_list(i_queue_name text) returns setof londiste.ret_subscriber_table
language sql as $$
    select table_name, merge_state, snapshot, trigger_name, skip_truncate
      from londiste.subscriber_table where queue_name = i_queue_name order by nr
$$;
create function londiste.subscriber_set_table_state(i_queue_name text, i_table_name text, i_snapshot text, i_merge_state text)
returns integer language sql as $$
    update londiste.subscriber_table
       set snapshot = i_snapshot, merge_state = i_merge_state,
           skip_truncate = case when i_merge_state = 'ok' then null else skip_truncate end
     where queue_name = i_queue_name and table_name = i_table_name;
    select 1
$$;
create function londiste.provider_add_table(i_queue_name text, i_table_name text, i_col_types text) returns integer
language plpgsql as $$
declare
    v_trigger text := lower(replace(i_queue_name, '.', '_')) || '_logger';
begin
    insert into londiste.provider_table (queue_name, table_name, trigger_name) values (i_queue_name, i_table_name, v_trigger);
    execute format('create trigger %I after insert or update or delete on %s for each row execute procedure '
                   || 'pgq.logtriga(%L, %L, %L)', v_trigger, pgq.quote_fqname(i_table_name), i_queue_name, i_col_types,
                   i_table_name);
    return 1;
end $$;
