create table outbox (
    position     bigint generated always as identity primary key,
    event_id     text not null unique,
    subject      text not null,
    envelope     bytea not null,
    recorded_at  timestamptz not null default clock_timestamp(),
    published_at timestamptz
);
create index outbox_waiting on outbox (position) where published_at is null;

create function wake_relay() returns trigger language plpgsql as $$
begin
    perform pg_notify(tg_table_schema || '_outbox', '');
    return null;
end $$;
create trigger outbox_recorded after insert on outbox
    for each statement execute function wake_relay();

create table inbox (
    event_id   text primary key,
    handled_at timestamptz not null default now()
);
create index inbox_age on inbox (handled_at);

-- Which incarnation of the event stream the outbox was last published to.
create table carrier (
    stream     text primary key,
    created_at text not null
);
