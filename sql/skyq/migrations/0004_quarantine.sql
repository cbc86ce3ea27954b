-- A row that cannot be applied need not stop the others: it is kept here, or its table is set aside.
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
