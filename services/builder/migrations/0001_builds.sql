create table builds (
    id           text primary key,
    position     bigint generated always as identity,
    app          text not null,
    deploy_id    text not null unique,
    source       text not null,
    size         bigint not null,
    commit       text not null,
    branch       text not null,
    author       text not null,
    message      text not null,
    pusher       text not null,
    traceparent  text,
    state        text not null default 'queued'
                 check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    -- Grows with every claim: what an earlier holder writes afterwards does not count.
    attempt      integer not null default 0,
    -- How often a builder died over it.
    rescues      integer not null default 0,
    worker       text,
    heartbeat_at timestamptz,
    queued_at    timestamptz not null default now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    reason       text,
    image        text,
    kind         text
);
create index builds_of_app on builds (app, position desc);
create index builds_waiting on builds (position) where state = 'queued';
create unique index one_running_build on builds (app) where state = 'running';
create unique index one_queued_build on builds (app) where state = 'queued';

create table build_log (
    build_id text not null references builds (id) on delete cascade,
    attempt  integer not null,
    number   integer not null,
    line     text not null,
    primary key (build_id, attempt, number)
);
