create table people (
    name                text primary key,
    email               text not null default '',
    display_name        text not null default '',
    role                text not null check (role in ('admin', 'developer', 'viewer')),
    groups              text[] not null default '{}',
    active              boolean not null default true,
    -- argon2id in PHC form; none for somebody who cannot sign in with a password of ours.
    password_hash       text,
    -- Sessions begun earlier count no more.
    sessions_valid_from timestamptz not null default clock_timestamp(),
    created_at          timestamptz not null default now()
);

create table tokens (
    id         text primary key,
    digest     text not null unique,
    owner      text not null references people (name) on delete cascade,
    name       text not null,
    scopes     text[] not null,
    last_four  text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz
);
create index tokens_of_owner on tokens (owner, created_at);

-- `owner` is no reference: an app may come to us before its owner, and outlives nobody by accident
-- because somebody who owns apps cannot be deleted.
create table access_rules (
    app   text primary key,
    owner text not null,
    mode  text not null default 'restricted' check (mode in ('public', 'signed-in', 'restricted'))
);
create index access_rules_of_owner on access_rules (owner);

create table grants (
    app  text not null references access_rules (app) on delete cascade,
    kind text not null check (kind in ('user', 'group')),
    name text not null,
    role text not null check (role in ('viewer', 'collaborator', 'owner')),
    primary key (app, kind, name)
);
create index grants_of_name on grants (kind, name);

create table signing_keys (
    kid        text primary key,
    use        text not null check (use in ('session', 'identity')),
    public_jwk jsonb not null,
    sealed     bytea not null,
    created_at timestamptz not null default now(),
    signs_from timestamptz not null,
    -- Set when a successor exists: after it nothing signed with this key can still be valid.
    not_after  timestamptz
);

create table attempts (
    who      bytea primary key,
    failures integer not null,
    last_at  double precision not null
);

-- Whatever changes a row, by whatever way, wakes the copies: payload "<bucket>:<key>".
create function wake_copies() returns trigger language plpgsql as $$
declare
    changed jsonb;
begin
    foreach changed in array array[to_jsonb(old), to_jsonb(new)] loop
        if changed is not null then
            perform pg_notify('auth_copies', tg_argv[0] || ':' || (changed ->> tg_argv[1]));
        end if;
    end loop;
    return null;
end $$;
create trigger people_changed after insert or update or delete on people
    for each row execute function wake_copies('people', 'name');
create trigger tokens_changed after insert or update or delete on tokens
    for each row execute function wake_copies('tokens', 'digest');
create trigger access_rules_changed after insert or update or delete on access_rules
    for each row execute function wake_copies('access', 'app');
create trigger grants_changed after insert or update or delete on grants
    for each row execute function wake_copies('access', 'app');
create trigger signing_keys_changed after insert or update or delete on signing_keys
    for each row execute function wake_copies('signing-keys', 'kid');
