-- Schema pgq_ext: what consumers that write into another database remember there, compatible with pgq_ext 3.1.

-- The last tick that a consumer has applied.
create table pgq_ext.completed_tick (
    consumer_id     text not null,
    subconsumer_id  text not null default '',
    last_tick_id    bigint not null,

    constraint completed_tick_pkey primary key (consumer_id, subconsumer_id)
);

-- The last batch that a consumer has applied.
create table pgq_ext.completed_batch (
    consumer_id     text not null,
    subconsumer_id  text not null default '',
    last_batch_id   bigint not null,

    constraint completed_batch_pkey primary key (consumer_id, subconsumer_id)
);

-- Events that a consumer has applied of the batch in pgq_ext.partial_batch.
create table pgq_ext.completed_event (
    consumer_id     text not null,
    subconsumer_id  text not null default '',
    batch_id        bigint not null,
    event_id        bigint not null,

    constraint completed_event_pkey primary key (consumer_id, subconsumer_id, batch_id, event_id)
);

-- The batch whose events are marked one by one.
create table pgq_ext.partial_batch (
    consumer_id     text not null,
    subconsumer_id  text not null default '',
    cur_batch_id    bigint not null,

    constraint partial_batch_pkey primary key (consumer_id, subconsumer_id)
);
