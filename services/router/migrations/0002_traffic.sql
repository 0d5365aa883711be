-- What people chose for an app's traffic, apart from where it goes: neither overwrites the other.
-- Null is the platform's own value.
create table traffic (
    app            text primary key,
    concurrent     integer check (concurrent > 0),
    body_bytes     bigint check (body_bytes > 0),
    answer_seconds double precision check (answer_seconds > 0),
    idle_seconds   double precision check (idle_seconds > 0),
    rate           double precision check (rate > 0),
    burst          integer check (burst > 0),
    isolated       boolean not null default false,
    changed_by     text not null,
    changed_at     timestamptz not null default now()
);
