-- The newest shape of schema londiste: names, order and types are those of Londiste 3.8, since tools read the tables
-- directly. A change goes into migrations/ as well.

-- Tables that a queue knows, and those of them that this node has.
create table londiste.table_info (
    nr              serial not null,
    queue_name      text not null,
    table_name      text not null,
    local           boolean not null default false,
    merge_state     text,               -- null: not copied yet
    custom_snapshot text,
    dropped_ddl     text,               -- indexes that a running copy makes again
    table_attrs     text,               -- urlencoded
    dest_table      text,               -- null: has the same name here

    constraint table_info_pkey primary key (queue_name, table_name),
    constraint table_info_queue_name_fkey foreign key (queue_name) references pgq_node.node_info (queue_name)
        on delete cascade,
    constraint table_info_check check (dropped_ddl is null or merge_state in ('in-copy', 'catching-up'))
);

create table londiste.seq_info (
    nr              serial not null,
    queue_name      text not null,
    seq_name        text not null,
    local           boolean not null default false,
    last_value      bigint not null,    -- published, not reached

    constraint seq_info_pkey primary key (queue_name, seq_name),
    constraint seq_info_queue_name_fkey foreign key (queue_name) references pgq_node.node_info (queue_name)
        on delete cascade
);

-- Scripts that ran here. The file's name is the identity, across all queues.
create table londiste.applied_execute (
    queue_name      text not null,
    execute_file    text not null,
    execute_time    timestamptz not null default now(),
    execute_sql     text not null,
    execute_attrs   text,

    constraint applied_execute_pkey primary key (execute_file)
);

-- Foreign keys that were dropped for a copy, with the statement that makes each again.
create table londiste.pending_fkeys (
    from_table      text not null,
    to_table        text not null,
    fkey_name       text not null,
    fkey_def        text not null,

    constraint pending_fkeys_pkey primary key (from_table, fkey_name)
);
