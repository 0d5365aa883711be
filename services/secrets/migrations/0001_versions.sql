create table apps (
    app text primary key,
    created_at timestamptz not null default now()
);

-- One row per version of an app's document in the store: what changed and who did it, never to what.
create table versions (
    app text not null,
    version bigint not null,
    section text not null check (section in ('config', 'secrets')),
    names text[] not null,
    actor text not null,
    changed_at timestamptz not null default now(),
    primary key (app, version)
);

-- Written before the store is, so that a change cut short between the two is known and finished.
create table intents (
    id text primary key,
    app text not null,
    version bigint not null,
    section text not null,
    names text[] not null,
    actor text not null,
    begun_at timestamptz not null default now()
);
create index intents_app on intents (app);

-- Deleted apps whose document and policy are still in the store.
create table removals (
    app text primary key,
    asked_at timestamptz not null default now()
);
