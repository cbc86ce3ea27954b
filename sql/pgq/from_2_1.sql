-- Gives the tables of PgQ 2.1 the shape of 3.5, their rows kept. Columns that are new stand last. The functions come
-- afterwards, with the installation.
do $from_2_1$
declare
    v_queue record;
    v_table regclass;
    v_constraint record;
begin
    alter table pgq.queue
        add column if not exists queue_external_ticker boolean not null default false,
        add column if not exists queue_disable_insert boolean not null default false,
        add column if not exists queue_ticker_paused boolean not null default false,
        add column if not exists queue_per_tx_limit integer,
        add column if not exists queue_extra_maint text[],
        alter column queue_ticker_max_count set default 500,
        alter column queue_switch_step1 set default pg_catalog.txid_current(),
        alter column queue_switch_step2 set default pg_catalog.txid_current();

    -- How many events had come by a tick was not written down. One less than now lets the ticker tick soon.
    alter table pgq.tick
        add column if not exists tick_event_seq bigint,
        alter column tick_snapshot set default pg_catalog.txid_current_snapshot();
    for v_queue in select q.queue_id, q.queue_event_seq from pgq.queue q loop
        execute pg_catalog.format(
            'update pgq.tick t set tick_event_seq = (select greatest(s.last_value - 1, 0) from %s s) '
            || 'where t.tick_queue = $1 and t.tick_event_seq is null',
            pg_catalog.format('%I.%I', split_part(v_queue.queue_event_seq, '.', 1),
                              substr(v_queue.queue_event_seq, strpos(v_queue.queue_event_seq, '.') + 1)))
          using v_queue.queue_id;
    end loop;
    alter table pgq.tick alter column tick_event_seq set not null;

    -- Subconsumers share the sub_id of their consumer, so it is no key any more.
    for v_constraint in
        select k.conrelid::regclass as table_name, k.conname
          from pg_catalog.pg_constraint k
         where k.confrelid = 'pgq.subscription'::regclass and k.contype = 'f'
            or k.conrelid = 'pgq.subscription'::regclass and k.contype in ('p', 'u')
         order by k.contype
    loop
        execute pg_catalog.format('alter table %s drop constraint %I', v_constraint.table_name, v_constraint.conname);
    end loop;
    alter table pgq.subscription
        alter column sub_last_tick drop not null,
        add constraint subscription_pkey primary key (sub_queue, sub_consumer);
    drop index if exists pgq.subscription_consumer_idx, pgq.subscription_batch_idx;

    alter table pgq.retry_queue add column if not exists ev_queue integer;
    delete from pgq.retry_queue r
     where not exists (select from pgq.subscription s where s.sub_id = r.ev_owner);
    update pgq.retry_queue r set ev_queue = s.sub_queue from pgq.subscription s where s.sub_id = r.ev_owner;
    alter table pgq.retry_queue
        alter column ev_queue set not null,
        alter column ev_txid drop not null,
        add constraint rq_queue_id_fkey foreign key (ev_queue) references pgq.queue (queue_id);
    drop index if exists pgq.rq_retry_owner_idx;

    -- Each event table has a default of its own.
    for v_table in
        with recursive event_table (oid) as (
            select 'pgq.event_template'::regclass::oid
            union all
            select i.inhrelid from pg_catalog.pg_inherits i join event_table e on i.inhparent = e.oid)
        select e.oid
          from event_table e
          join pg_catalog.pg_attribute a on a.attrelid = e.oid and a.attname = 'ev_txid'
          left join pg_catalog.pg_attrdef d on d.adrelid = e.oid and d.adnum = a.attnum
         where pg_catalog.pg_get_expr(d.adbin, d.adrelid) is distinct from 'txid_current()'
    loop
        execute pg_catalog.format('alter table %s alter column ev_txid set default pg_catalog.txid_current()', v_table);
    end loop;
end;
$from_2_1$;
