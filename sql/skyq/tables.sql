-- What the originals have no table for. The newest shape; a change goes into migrations/ as well.

-- One row per table whose changes a generated trigger function logs.
create table skyq.capture (
    capture_id      serial,
    queue_name      text not null,
    table_name      text not null,              -- the name its events carry
    table_oid       oid not null,               -- the table itself
    function_name   text not null,              -- in schema skyq
    mode            text not null,
    columns         text not null,              -- what the function was written for, see skyq._full_shape()
    trigger_args    text[] not null,            -- without the queue's name

    constraint capture_pkey primary key (capture_id),
    constraint capture_table_uq unique (queue_name, table_oid),
    constraint capture_mode_check check (mode in ('row', 'statement'))
);

-- Where the first copy of a table stands, and what stopped it.
create table skyq.copy_state (
    queue_name      text not null,
    table_name      text not null,
    error           text,
    error_time      timestamptz,
    rows_copied     bigint not null default 0,
    bytes_copied    bigint not null default 0,
    started_at      timestamptz,
    finished_at     timestamptz,
    chunk_count     integer,                            -- null: in one piece
    source_file     bigint,                             -- chunks by place: file of the provider's table they were cut from
    settled_by      text,                               -- chunks: provider's snapshot after the last; until events have passed
                                                        -- it, rows of the table may be newer than the events applied to it

    constraint copy_state_pkey primary key (queue_name, table_name)
);

-- Parts of a table whose first copy goes in several transactions. Rows are there from the emptying of the subscriber's
-- table until its last chunk is loaded.
create table skyq.copy_chunk (
    chunk_id        bigserial,
    queue_name      text not null,
    table_name      text not null,
    condition       text not null,                      -- which rows, in the provider's SQL
    rows_copied     bigint not null default 0,
    bytes_copied    bigint not null default 0,
    loaded_at       timestamptz,                        -- set by the transaction that loads the rows

    constraint copy_chunk_pkey primary key (chunk_id)
);
create index copy_chunk_table_idx on skyq.copy_chunk (queue_name, table_name);

-- Indexes, with the constraints that own them, that were dropped for a first copy and are not made again yet.
create table skyq.pending_index (
    queue_name      text not null,
    table_name      text not null,
    dest_table      text not null,                      -- the subscriber's table
    index_name      text not null,
    key_columns     text[],                             -- the key of the table's events, which it is unique over; else null
    create_sql      text not null,
    comment_sql     text,
    is_clustered    boolean not null,
    is_identity     boolean not null,                   -- replica identity using this index

    constraint pending_index_pkey primary key (dest_table, index_name)
);

create table skyq.setting (
    key             text not null,
    value           text,

    constraint setting_pkey primary key (key)
);

-- User triggers that were dropped while a table is replicated, with the statement that makes each again.
create table skyq.pending_trigger (
    table_name      text not null,
    trigger_name    text not null,
    trigger_def     text not null,
    trigger_enabled "char" not null default 'O',    -- pg_trigger.tgenabled

    constraint pending_trigger_pkey primary key (table_name, trigger_name)
);

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

-- Pairs of Londiste that were taken over, by side: what was taken, and what gives it back.
create table skyq.upgrade (
    queue_name      text not null,
    worker_name     text not null,                      -- the consumer whose position skyq has taken over
    side            text not null,
    from_version    text not null,
    old_schema      text,                               -- where the tables of Londiste 2.1 are kept, null for 3
    upgraded_at     timestamptz not null default now(),

    constraint upgrade_pkey primary key (queue_name, worker_name, side),
    constraint upgrade_side_check check (side in ('provider', 'subscriber')),
    constraint upgrade_version_check check (from_version in ('2.1', '3'))
);

-- Triggers of Londiste 2.1 in whose place skyq's own are now.
create table skyq.upgraded_trigger (
    queue_name      text not null,
    table_name      text not null,
    trigger_name    text not null,
    trigger_def     text not null,
    trigger_enabled "char" not null default 'O',        -- pg_trigger.tgenabled

    constraint upgraded_trigger_pkey primary key (queue_name, table_name, trigger_name)
);

-- Events that the subscriber refused, and all later ones of their keys. They stay until they are retried or dropped, or
-- the table is copied anew.
create table skyq.quarantine (
    queue_name      text not null,
    ev_id           bigint not null,
    table_name      text not null,              -- the name its events carry
    key             text,                       -- urlencoded; null: the event does not tell
    tick_id         bigint not null,            -- of the batch it came with
    ev_txid         bigint not null,
    ev_type         text not null,
    ev_data         text,
    sqlstate        text,                       -- null: not refused itself, it follows an earlier event of its key
    error           text not null,
    quarantined_at  timestamptz not null default now(),
    retried_at      timestamptz,

    constraint quarantine_pkey primary key (queue_name, ev_id)
);
create index quarantine_key_idx on skyq.quarantine (queue_name, table_name, key);

-- Tables that are not replayed any more because of an event that was refused, until they are copied anew. Their
-- merge_state is null, as of one that was never copied: the copy waits for `subscriber resync`.
create table skyq.set_aside (
    queue_name      text not null,
    table_name      text not null,
    ev_id           bigint,
    sqlstate        text,
    error           text not null,
    set_aside_at    timestamptz not null default now(),

    constraint set_aside_pkey primary key (queue_name, table_name)
);
