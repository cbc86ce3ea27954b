-- Consumers get a place for events they give up on, operators a bound for a queue's size and its consumers' lag.
-- Dead letters: events that a consumer gave up on. They stay until somebody retries or drops them, whatever becomes of
-- the queue and its consumer.
create table skyq.failed_event (
    queue_name      text not null,
    consumer_name   text not null,
    ev_id           bigint not null,
    ev_time         timestamptz not null,
    ev_txid         bigint,
    ev_retry        integer,
    ev_type         text,
    ev_data         text,
    ev_extra1       text,
    ev_extra2       text,
    ev_extra3       text,
    ev_extra4       text,
    reason          text,
    failed_at       timestamptz not null default now(),

    constraint failed_event_pkey primary key (queue_name, consumer_name, ev_id)
);

-- How large a queue may become, how far its consumers may fall behind, and what to do about it.
create table skyq.queue_policy (
    queue_name      text not null,
    max_size        bigint,                             -- bytes of its event tables with indexes, null: no limit
    max_lag         interval,                           -- null: no limit
    on_full         text not null default 'warn',
    full_since      timestamptz,                        -- null: not over max_size when last looked at
    paused_at       timestamptz,                        -- inserts are refused because of max_size
    note            text,                               -- what was done last

    constraint queue_policy_pkey primary key (queue_name),
    constraint queue_policy_on_full_check check (on_full in ('warn', 'pause', 'drop-consumer'))
);
