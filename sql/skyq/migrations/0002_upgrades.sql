-- A pair of Londiste can be taken over, and given back: what was taken, and what it was like before.
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
