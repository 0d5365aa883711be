create table apps (
    name text primary key,
    owner text not null,
    title text not null default '',
    description text not null default '',
    tags text[] not null default '{}',
    created_at timestamptz not null default now(),
    release integer,
    deployed_at timestamptz,
    deploy_failed_at timestamptz,
    deploy_error text
);

-- Auth decides; this is what it last said. An app without a row here is open to its owner only.
create table access (
    app text primary key,
    mode text not null,
    grants jsonb not null default '[]'
);

create table activity (
    id bigint generated always as identity primary key,
    event_id text not null unique,
    app text not null,
    type text not null,
    actor text not null default '',
    data jsonb not null,
    happened_at timestamptz not null
);
create index activity_by_app on activity (app, id desc);
create index activity_by_time on activity (happened_at);

create table audit (
    id bigint generated always as identity primary key,
    actor text not null,
    action text not null,
    app text,
    detail jsonb not null default '{}',
    done_at timestamptz not null default now()
);
create index audit_by_time on audit (done_at);
