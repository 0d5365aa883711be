"""The auth service's SQL.

Rows come back as mappings. The triggers of the migration notify `CHANNEL` of every change that
concerns a bucket, which is heard only once it is committed.
"""

from collections.abc import Iterable
from typing import Any

from shared.database import Database

CHANNEL = "auth_copies"
"""Payload: "<bucket>:<key>"."""

Row = Any
"""An asyncpg record: read like a mapping."""

# --- people ---------------------------------------------------------------------------------------

_PERSON = (
    "name, email, display_name, role, groups, active, password_hash, created_at,"
    " extract(epoch from sessions_valid_from)::float8 as sessions_valid_from,"
    " extract(epoch from clock_timestamp())::float8 as read_at"
)


async def lock_people(tx: Any) -> None:
    """Let one transaction at a time decide who is there, is the last, or is named by a grant."""
    await tx.execute("select pg_advisory_xact_lock(hashtextextended('auth:people', 0))")


async def nobody_exists(tx: Any) -> bool:
    return not await tx.fetchval("select exists (select from people)")


async def person(source: Any, name: str) -> Row | None:
    """`source` is the database or a transaction."""
    return await source.fetchrow(f"select {_PERSON} from people where name = $1", name)


async def person_signing_in(database: Database, name: str) -> Row | None:
    """The person as of `read_at`, after any change of them that is under way has been committed.

    Otherwise a session begun with the old password might count as begun after the new one was set.
    """
    return await database.fetchrow(f"select {_PERSON} from people where name = $1 for share", name)


async def lock_person(tx: Any, name: str) -> Row | None:
    """The person, whom nobody else changes, and nobody signs in as, until the transaction ends."""
    return await tx.fetchrow(f"select {_PERSON} from people where name = $1 for update", name)


async def people(database: Database, names: Iterable[str] | None = None) -> list[Row]:
    """Everybody, or those of `names` who exist, by name."""
    return await database.fetch(
        f"select {_PERSON} from people where $1::text[] is null or name = any($1) order by name",
        _listed(names),
    )


async def missing_people(tx: Any, names: Iterable[str]) -> list[str]:
    """Those of `names` who do not exist."""
    rows = await tx.fetch(
        "select wanted from unnest($1::text[]) as wanted"
        " where not exists (select from people where name = wanted) order by wanted",
        list(names),
    )
    return [row["wanted"] for row in rows]


async def add_person(tx: Any, row: dict[str, Any], password_hash: str) -> bool:
    """False when the name is taken."""
    return bool(
        await tx.fetchval(
            "insert into people (name, email, display_name, role, groups, password_hash)"
            " values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning true",
            row["name"],
            row["email"],
            row["display_name"],
            row["role"],
            row["groups"],
            password_hash,
        )
    )


async def set_person(tx: Any, row: dict[str, Any]) -> None:
    await tx.execute(
        "update people set email = $2, display_name = $3, role = $4, groups = $5, active = $6"
        " where name = $1",
        row["name"],
        row["email"],
        row["display_name"],
        row["role"],
        row["groups"],
        row["active"],
    )


async def set_password(tx: Any, name: str, password_hash: str) -> None:
    """A new password ends the sessions begun with the old one."""
    await tx.execute(
        "update people set password_hash = $2, sessions_valid_from = clock_timestamp()"
        " where name = $1",
        name,
        password_hash,
    )


async def renew_hash(database: Database, name: str, old: str, new: str) -> None:
    """The same password hashed anew, unless it was changed meanwhile."""
    await database.execute(
        "update people set password_hash = $3 where name = $1 and password_hash = $2",
        name,
        old,
        new,
    )


async def end_sessions(tx: Any, name: str) -> None:
    await tx.execute(
        "update people set sessions_valid_from = clock_timestamp() where name = $1", name
    )


async def delete_person(tx: Any, name: str) -> None:
    """Tokens go with their person."""
    await tx.execute("delete from people where name = $1", name)


async def other_active_admins(tx: Any, name: str) -> int:
    return await tx.fetchval(
        "select count(*) from people where role = 'admin' and active and name <> $1", name
    )


# --- tokens ---------------------------------------------------------------------------------------

_TOKEN = (
    "id, digest, owner, name, scopes, last_four, created_at, expires_at,"
    " extract(epoch from expires_at)::float8 as expires"
)


async def add_token(tx: Any, row: dict[str, Any]) -> Row:
    return await tx.fetchrow(
        "insert into tokens (id, digest, owner, name, scopes, last_four, expires_at)"
        f" values ($1, $2, $3, $4, $5, $6, $7) returning {_TOKEN}",
        row["id"],
        row["digest"],
        row["owner"],
        row["name"],
        row["scopes"],
        row["last_four"],
        row["expires_at"],
    )


async def tokens_of(database: Database, owner: str) -> list[Row]:
    return await database.fetch(
        f"select {_TOKEN} from tokens where owner = $1 order by created_at, id", owner
    )


async def count_tokens(tx: Any, owner: str) -> int:
    return await tx.fetchval("select count(*) from tokens where owner = $1", owner)


async def valid_tokens(database: Database, digests: Iterable[str] | None = None) -> list[Row]:
    """All tokens that have not expired, or those of `digests`."""
    return await database.fetch(
        f"select {_TOKEN} from tokens where ($1::text[] is null or digest = any($1))"
        " and (expires_at is null or expires_at > now())",
        _listed(digests),
    )


async def delete_token(database: Database, token_id: str, owner: str | None) -> bool:
    """Delete a token, of `owner` only if that is given; False when there is none."""
    return bool(
        await database.fetchval(
            "delete from tokens where id = $1 and ($2::text is null or owner = $2) returning true",
            token_id,
            owner,
        )
    )


async def delete_tokens_of(tx: Any, owner: str) -> None:
    await tx.execute("delete from tokens where owner = $1", owner)


async def prune_tokens(database: Database) -> None:
    """Forget tokens that expired so long ago that nobody wonders about them any more."""
    await database.execute("delete from tokens where expires_at < now() - interval '30 days'")


# --- access ---------------------------------------------------------------------------------------

_RULES = (
    "select app, owner, mode, coalesce((select jsonb_agg(jsonb_build_object("
    "'kind', kind, 'name', grants.name, 'role', role) order by kind, grants.name)"
    " from grants where grants.app = access_rules.app), '[]'::jsonb) as grants from access_rules"
)


async def add_rule(tx: Any, app: str, owner: str) -> bool:
    """A restricted app of `owner`; False when there is a rule already."""
    return bool(
        await tx.fetchval(
            "insert into access_rules (app, owner) values ($1, $2)"
            " on conflict do nothing returning true",
            app,
            owner,
        )
    )


async def rule(source: Any, app: str) -> Row | None:
    """`source` is the database or a transaction."""
    return await source.fetchrow(f"{_RULES} where app = $1", app)


async def rules(database: Database, apps: Iterable[str] | None = None) -> list[Row]:
    return await database.fetch(
        f"{_RULES} where $1::text[] is null or app = any($1)", _listed(apps)
    )


async def lock_rule(tx: Any, app: str) -> Row | None:
    """The rule, which nobody else changes until the transaction ends."""
    await tx.execute("select from access_rules where app = $1 for update", app)
    return await rule(tx, app)


async def set_rule(tx: Any, app: str, owner: str, mode: str, grants: list[dict[str, str]]) -> None:
    await tx.execute(
        "update access_rules set owner = $2, mode = $3 where app = $1", app, owner, mode
    )
    await tx.execute("delete from grants where app = $1", app)
    await tx.executemany(
        "insert into grants (app, kind, name, role) values ($1, $2, $3, $4)",
        [(app, grant["kind"], grant["name"], grant["role"]) for grant in grants],
    )


async def delete_rule(tx: Any, app: str) -> None:
    await tx.execute("delete from access_rules where app = $1", app)


async def apps_owned_by(tx: Any, name: str) -> list[str]:
    rows = await tx.fetch("select app from access_rules where owner = $1 order by app", name)
    return [row["app"] for row in rows]


async def delete_grants_of(tx: Any, name: str) -> list[str]:
    """Take a user's grants back; the apps they were for."""
    rows = await tx.fetch(
        "delete from grants where kind = 'user' and name = $1 returning app", name
    )
    return [row["app"] for row in rows]


# --- signing keys ---------------------------------------------------------------------------------

_KEY = (
    "kid, use, public_jwk, sealed,"
    " extract(epoch from signs_from)::float8 as signs_from,"
    " extract(epoch from not_after)::float8 as not_after"
)


async def lock_keys(tx: Any) -> None:
    """Let one transaction at a time make keys.

    Times of keys are read from the clock, not from the transaction's begin: whoever has waited here
    must see the key that was made meanwhile as one that signs.
    """
    await tx.execute("select pg_advisory_xact_lock(hashtextextended('auth:keys', 0))")


async def current_key(source: Any, use: str) -> Row | None:
    """The key to sign with now."""
    return await source.fetchrow(
        f"select {_KEY} from signing_keys where use = $1 and signs_from <= clock_timestamp()"
        " order by signs_from desc limit 1",
        use,
    )


async def newest_key_age(tx: Any, use: str) -> float | None:
    """Seconds since the newest key began to sign (negative: it has not yet); None without one."""
    return await tx.fetchval(
        "select extract(epoch from clock_timestamp() - max(signs_from))::float8 from signing_keys"
        " where use = $1",
        use,
    )


async def add_key(
    tx: Any, use: str, public_jwk: dict[str, Any], sealed: bytes, lead: float, keep: float
) -> None:
    """A key that signs `lead` seconds from now; those before it count `keep` seconds longer."""
    await tx.execute(
        "update signing_keys set not_after = clock_timestamp() + make_interval(secs => $2)"
        " where use = $1 and not_after is null",
        use,
        lead + keep,
    )
    await tx.execute(
        "insert into signing_keys (kid, use, public_jwk, sealed, signs_from)"
        " values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))",
        public_jwk["kid"],
        use,
        public_jwk,
        sealed,
        lead,
    )


async def keys(database: Database, kids: Iterable[str] | None = None) -> list[Row]:
    return await database.fetch(
        f"select {_KEY} from signing_keys where $1::text[] is null or kid = any($1)"
        " order by signs_from",
        _listed(kids),
    )


async def delete_spent_keys(tx: Any) -> None:
    await tx.execute("delete from signing_keys where not_after < clock_timestamp()")


# --- sessions -------------------------------------------------------------------------------------


async def end_session(source: Any, sid: str, ends: float) -> None:
    """Note that a session that would end at `ends` (epoch seconds) counts no more."""
    await source.execute(
        "insert into ended_sessions (sid, ends) values ($1, $2) on conflict do nothing", sid, ends
    )


async def ended_sessions(database: Database, sids: Iterable[str] | None = None) -> list[Row]:
    return await database.fetch(
        "select sid, ends from ended_sessions where $1::text[] is null or sid = any($1)",
        _listed(sids),
    )


async def prune_ended_sessions(database: Database) -> None:
    """Forget sessions that have expired meanwhile."""
    await database.execute(
        "delete from ended_sessions where ends < extract(epoch from clock_timestamp())"
    )


# --- attempts -------------------------------------------------------------------------------------


async def lock_attempts(tx: Any, who: bytes) -> tuple[int, float]:
    """(failures, epoch seconds of the last), which nobody else counts until `tx` ends."""
    row = await tx.fetchrow(
        "insert into attempts (who, failures, last_at) values ($1, 0, 0)"
        " on conflict (who) do update set failures = attempts.failures"
        " returning failures, last_at",
        who,
    )
    return row["failures"], row["last_at"]


async def set_attempts(tx: Any, who: bytes, failures: int, last_at: float) -> None:
    await tx.execute(
        "update attempts set failures = $2, last_at = $3 where who = $1", who, failures, last_at
    )


async def forget_attempts(database: Database, who: bytes) -> None:
    await database.execute("delete from attempts where who = $1", who)


async def prune_attempts(database: Database, before: float) -> None:
    await database.execute("delete from attempts where last_at < $1", before)


def _listed(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else list(names)
