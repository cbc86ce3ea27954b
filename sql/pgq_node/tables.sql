-- The newest shape of schema pgq_node: cascaded queues, compatible with pgq_node 3.5.

-- All nodes of a queue that this database knows of.
create table pgq_node.node_location (
    queue_name      text not null,
    node_name       text not null,
    node_location   text not null,      -- connect string
    dead            boolean not null default false,

    constraint node_location_pkey primary key (queue_name, node_name)
);

-- What this database is for a queue.
create table pgq_node.node_info (
    queue_name      text not null,
    node_type       text not null,
    node_name       text not null,
    worker_name     text,
    combined_queue  text,               -- on a leaf: the queue it is merged into
    node_attrs      text,               -- urlencoded

    constraint node_info_pkey primary key (queue_name),
    constraint node_info_queue_name_node_name_fkey foreign key (queue_name, node_name)
        references pgq_node.node_location (queue_name, node_name),
    constraint node_info_node_type_check check (node_type in ('root', 'branch', 'leaf')),
    constraint node_info_check check (
        case when node_type = 'root' then worker_name is not null and combined_queue is null
             when node_type = 'branch' then worker_name is not null and combined_queue is null
             when node_type = 'leaf' then worker_name is not null
             else false
        end)
);

-- Position of every cascaded consumer that writes to this database; the worker is one of them.
create table pgq_node.local_state (
    queue_name      text not null,
    consumer_name   text not null,
    provider_node   text not null,
    last_tick_id    bigint not null,
    cur_error       text,
    paused          boolean not null default false,
    uptodate        boolean not null default false,

    constraint local_state_pkey primary key (queue_name, consumer_name),
    constraint local_state_queue_name_fkey foreign key (queue_name) references pgq_node.node_info (queue_name),
    constraint local_state_queue_name_provider_node_fkey foreign key (queue_name, provider_node)
        references pgq_node.node_location (queue_name, node_name)
);

-- Nodes that read from this one.
create table pgq_node.subscriber_info (
    queue_name      text not null,
    subscriber_node text not null,
    worker_name     text not null,
    watermark_name  text not null,

    constraint subscriber_info_pkey primary key (queue_name, subscriber_node),
    constraint subscriber_info_queue_name_fkey foreign key (queue_name) references pgq_node.node_info (queue_name),
    constraint subscriber_info_queue_name_subscriber_node_fkey foreign key (queue_name, subscriber_node)
        references pgq_node.node_location (queue_name, node_name),
    constraint subscriber_info_worker_name_fkey foreign key (worker_name) references pgq.consumer (co_name),
    constraint subscriber_info_watermark_name_fkey foreign key (watermark_name) references pgq.consumer (co_name)
);
