-- What the originals have no table for. The newest shape; a change goes into migrations/ as well.

-- One row per table whose changes a generated trigger function logs.
create table skyq.capture (
    capture_id      serial,
    queue_name      text not null,
    table_name      text not null,              -- the name its events carry
    table_oid       oid not null,               -- the table itself
    function_name   text not null,              -- in schema skyq
    mode            text not null,
    columns         text not null,              -- what the function was written for, see skyq._shape()
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

    constraint copy_state_pkey primary key (queue_name, table_name)
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
