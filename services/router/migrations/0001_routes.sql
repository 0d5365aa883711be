-- A deleted app keeps its row, so that news which was under way when it went cannot bring it back.
create table routes (
    app text primary key,
    revision bigint not null,
    document jsonb not null,
    deleted_at timestamptz,
    changed_at timestamptz not null default now()
);
create index routes_deleted on routes (deleted_at) where deleted_at is not null;
