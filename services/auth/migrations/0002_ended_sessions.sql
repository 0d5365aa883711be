-- Sign-ins that were ended by signing out: their cookies would be good until they expire.
create table ended_sessions (
    sid  text primary key,
    ends double precision not null
);
create trigger ended_sessions_changed after insert or update or delete on ended_sessions
    for each row execute function wake_copies('ended-sessions', 'sid');
