-- The first copy of a large table goes in chunks, each in a transaction of its own: what is loaded is remembered, and what
-- was dropped for the time of the copy.
alter table skyq.copy_state add column chunk_count integer;     -- null: in one piece
alter table skyq.copy_state add column source_file bigint;      -- chunks by place: file of the provider's table
alter table skyq.copy_state add column settled_by text;         -- chunks: provider's snapshot after the last

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
