-- One row for each app that somebody may push to. `grants` is a copy of the access rule that auth
-- owns: [{"kind": "user"|"group", "name": ..., "role": "viewer"|"collaborator"|"owner"}].
create table repositories (
    app text primary key,
    owner text not null,
    grants jsonb not null default '[]',
    -- null until a first push went live: until then `main` and `master` are both welcome
    deploy_branch text,
    created_at timestamptz not null default now()
);

-- A process that holds pushes open says so every few seconds.
create table holders (
    holder text primary key,
    beat_at timestamptz not null default now()
);

-- Pushes to a deploy branch. States, in this order: begun, published, decided (outcome), ended.
-- A push has ended when its git process is gone, so that the branch moves no more.
create table pushes (
    sequence bigint generated always as identity primary key,
    deploy_id text not null unique,
    app text not null,
    holder text not null,
    pusher text not null,
    branch text not null,
    commit_id text not null,
    source text not null,
    size bigint not null,
    begun_at timestamptz not null default now(),
    published_at timestamptz,
    cancel_reason text check (cancel_reason in ('superseded', 'disconnected')),
    outcome text check (outcome in ('succeeded', 'failed', 'cancelled')),
    reason text,
    release integer,
    ended_at timestamptz,
    source_dropped_at timestamptz
);

create index pushes_open on pushes (app, sequence) where ended_at is null;
create index pushes_by_source on pushes (source) where source_dropped_at is null;
