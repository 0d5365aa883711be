-- A build may end after its app was deleted: it must not bring the app back.
create table deleted_apps (
    app text primary key,
    at  timestamptz not null default now()
);

-- The trace of the push goes on through its rollout.
alter table rollouts add column traceparent text;
