create table apps (
    app          text primary key,
    formation    jsonb not null default '{"web": 1}',
    live_release integer,
    -- Grows with every rollout and names its instances.
    generation   bigint not null default 0,
    -- The generation that gets the traffic.
    live_generation bigint not null default 0,
    -- Grows with every change of where traffic goes, and fences it. It begins at the clock, so that
    -- news of an app that was deleted cannot outrank those of a new one by the same name.
    revision     bigint not null default (extract(epoch from now()) * 1000)::bigint,
    announced    jsonb,
    created_at   timestamptz not null default now()
);

create table releases (
    app            text not null,
    release        integer not null,
    image          text not null,
    kind           text not null default '',
    process_types  jsonb not null default '{}',
    build_id       text,
    config_version integer,
    commit         text not null default '',
    author         text not null default '',
    message        text not null default '',
    actor          text not null default '',
    reason         text not null,
    state          text not null default 'pending'
                   check (state in ('pending', 'live', 'retired', 'failed')),
    created_at     timestamptz not null default now(),
    primary key (app, release)
);

create table rollouts (
    id               bigint generated always as identity primary key,
    app              text not null,
    kind             text not null
                     check (kind in ('deploy', 'rollback', 'restart', 'config')),
    release          integer not null,
    deploy_id        text,
    generation       bigint not null,
    state            text not null default 'queued'
                     check (state in ('queued', 'running', 'activated', 'succeeded', 'failed')),
    cancelled        text,
    claimed_by       text,
    attempt          integer not null default 0,
    heartbeat        timestamptz,
    reason           text,
    created_at       timestamptz not null default now(),
    finished_at      timestamptz
);
create index rollouts_open on rollouts (app, id) where state in ('queued', 'running', 'activated');

-- A push may be given up before its build has become a rollout.
create table cancelled_deploys (
    deploy_id text primary key,
    reason    text not null,
    at        timestamptz not null default now()
);

create table instances (
    instance      text primary key,
    app           text not null,
    release       integer not null,
    process_type  text not null,
    generation    bigint not null,
    state         text not null
                  check (state in ('starting', 'healthy', 'crashed', 'draining', 'stopping')),
    port          integer,
    reference     jsonb,
    restarts      integer not null default 0,
    start_after   timestamptz not null default now(),
    healthy_at    timestamptz,
    drain_revision bigint,
    drained_by    jsonb not null default '[]',
    reason        text not null default '',
    created_at    timestamptz not null default now()
);
create index instances_of_app on instances (app);
create unique index instances_ports on instances (port) where port is not null;

-- Ports are taken in turn, so that one is used again as late as possible.
create sequence ports minvalue 20000 maxvalue 31999 cycle;

-- Which revision each gateway routes by, and when it was last seen.
create table gateways (
    gateway text primary key,
    seen_at timestamptz not null default now()
);
create table applied (
    app      text not null,
    gateway  text not null,
    revision bigint not null,
    primary key (app, gateway)
);

create function wake_scheduler() returns trigger language plpgsql as $$
begin
    perform pg_notify('scheduler', '');
    return null;
end $$;
create trigger rollouts_changed after insert or update of state, cancelled on rollouts
    for each statement execute function wake_scheduler();
create trigger instances_changed after insert or delete or update of state, drained_by on instances
    for each statement execute function wake_scheduler();
create trigger applied_changed after insert or update on applied
    for each statement execute function wake_scheduler();
create trigger formation_changed after update of formation on apps
    for each statement execute function wake_scheduler();
