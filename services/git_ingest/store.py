"""The SQL of git_ingest. Whatever changes a push notifies `CHANNEL` with its deploy id."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

CHANNEL = "git_ingest_pushes"
DEAD_SECONDS = 10.0
"""A holder that has not said for so long that it lives is taken for dead."""


@dataclass(frozen=True)
class Repository:
    app: str
    owner: str
    grants: list[dict[str, str]]
    deploy_branch: str | None


@dataclass(frozen=True)
class NewPush:
    deploy_id: str
    app: str
    holder: str
    pusher: str
    branch: str
    commit_id: str
    source: str
    size: int


@dataclass(frozen=True)
class PushState:
    """What the database knows of a push that somebody holds open."""

    app: str
    cancel_reason: str | None
    outcome: str | None
    reason: str | None


@dataclass(frozen=True)
class Cancelled:
    """A push that was cancelled just now; `published` when others have heard of it."""

    deploy_id: str
    app: str
    pusher: str
    published: bool


# --- repositories ---


async def repository(database: Any, app: str) -> Repository | None:
    row = await database.fetchrow(
        "select app, owner, grants, deploy_branch from repositories where app = $1", app
    )
    return Repository(**row) if row else None


async def add_repository(database: Any, app: str, owner: str, created_at: datetime | None) -> None:
    """Note an app; `created_at` is None when we created it before its event came."""
    await database.execute(
        "insert into repositories (app, owner, created_at) values ($1, $2, coalesce($3, now()))"
        " on conflict (app) do update"
        " set created_at = least(repositories.created_at, excluded.created_at)",
        app,
        owner,
        created_at,
    )


async def set_access(tx: Any, app: str, owner: str, grants: list[dict[str, str]]) -> None:
    await tx.execute(
        "update repositories set owner = $2, grants = $3 where app = $1", app, owner, grants
    )


async def settle_deploy_branch(database: Any, app: str, branch: str) -> None:
    """The first branch that went live is the app's deploy branch from then on."""
    await database.execute(
        "update repositories set deploy_branch = $2 where app = $1 and deploy_branch is null",
        app,
        branch,
    )


async def remove_repository(tx: Any, app: str, deleted_at: datetime) -> bool:
    """Forget the app; False when there is none, or one of that name that was created later."""
    return bool(
        await tx.fetchval(
            "delete from repositories where app = $1 and created_at <= $2 returning true",
            app,
            deleted_at,
        )
    )


# --- pushes ---


async def begin_push(tx: Any, push: NewPush) -> list[Cancelled]:
    """Enter a push; the open ones of the same app are superseded, and returned."""
    await _lock(tx, f"push:{push.app}")
    await lock_source(tx, push.source)
    cancelled = await _cancel(
        tx, "app = $2 and ended_at is null and outcome is null", "superseded", push.app
    )
    await tx.execute(
        "insert into pushes (deploy_id, app, holder, pusher, branch, commit_id, source, size)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        push.deploy_id,
        push.app,
        push.holder,
        push.pusher,
        push.branch,
        push.commit_id,
        push.source,
        push.size,
    )
    return cancelled


async def open_before(database: Any, deploy_id: str) -> bool:
    """True while an older push of the same app has not ended."""
    return await database.fetchval(
        "select exists (select from pushes older join pushes mine on older.app = mine.app"
        " where mine.deploy_id = $1 and older.sequence < mine.sequence and older.ended_at is null)",
        deploy_id,
    )


async def publish_push(tx: Any, deploy_id: str) -> bool:
    """Mark a push as published; False when it was cancelled before."""
    return bool(
        await tx.fetchval(
            "update pushes set published_at = now() where deploy_id = $1"
            " and cancel_reason is null and outcome is null returning true",
            deploy_id,
        )
    )


async def push_state(database: Any, deploy_id: str) -> PushState:
    row = await database.fetchrow(
        "select app, cancel_reason, outcome, reason from pushes where deploy_id = $1", deploy_id
    )
    return PushState(**row)


async def cancel_push(tx: Any, deploy_id: str, reason: str) -> list[Cancelled]:
    """Cancel one push, unless it is decided or cancelled already."""
    return await _cancel(tx, "deploy_id = $2 and outcome is null", reason, deploy_id)


async def decide_push(
    database: Any, deploy_id: str, outcome: str, reason: str | None, release: int | None = None
) -> bool:
    """Write how a push ended; False when that was decided before, which then stands."""
    return bool(
        await database.fetchval(
            "with decided as (update pushes set outcome = $2, reason = $3, release = $4"
            " where deploy_id = $1 and outcome is null returning deploy_id)"
            f" select pg_notify('{CHANNEL}', deploy_id) is not null from decided",
            deploy_id,
            outcome,
            reason,
            release,
        )
    )


async def fail_pushes_of(tx: Any, app: str, reason: str) -> None:
    """Refuse whatever is under way for an app that is gone."""
    await tx.execute(
        "with decided as (update pushes set outcome = 'failed', reason = $2"
        " where app = $1 and ended_at is null and outcome is null returning deploy_id)"
        f" select pg_notify('{CHANNEL}', deploy_id) from decided",
        app,
        reason,
    )


async def end_push(database: Any, deploy_id: str) -> None:
    """Note that a push's git process is gone."""
    await database.execute(
        "with ended as (update pushes set ended_at = now(),"
        " outcome = coalesce(outcome, 'cancelled')"
        " where deploy_id = $1 and ended_at is null returning app)"
        f" select pg_notify('{CHANNEL}', '') from ended",
        deploy_id,
    )


async def _cancel(tx: Any, where: str, reason: str, *arguments: str) -> list[Cancelled]:
    rows = await tx.fetch(
        f"with cancelled as (update pushes set cancel_reason = $1 where {where}"
        " and cancel_reason is null returning deploy_id, app, pusher,"
        " published_at is not null as published)"
        f" select cancelled.*, pg_notify('{CHANNEL}', deploy_id)::text from cancelled",
        reason,
        *arguments,
    )
    return [Cancelled(*row[:4]) for row in rows]


# --- holders ---


async def beat(database: Any, holder: str) -> None:
    await database.execute(
        "insert into holders (holder) values ($1)"
        " on conflict (holder) do update set beat_at = now()",
        holder,
    )


async def retire_holder(database: Any, holder: str) -> None:
    await database.execute("delete from holders where holder = $1", holder)


async def cancel_orphans(tx: Any) -> list[Cancelled]:
    """End the pushes whose holder is dead; forget the dead. Returns the pushes."""
    await tx.execute(
        f"delete from holders where beat_at < now() - interval '{DEAD_SECONDS} seconds'"
    )
    orphaned = "ended_at is null and holder not in (select holder from holders)"
    cancelled = await _cancel(tx, f"{orphaned} and outcome is null", "disconnected")
    await tx.execute(
        "with ended as (update pushes set ended_at = now(),"
        f" outcome = coalesce(outcome, 'cancelled') where {orphaned} returning deploy_id)"
        f" select pg_notify('{CHANNEL}', deploy_id) from ended"
    )
    return cancelled


# --- sources ---


async def lock_source(tx: Any, digest: str) -> None:
    await _lock(tx, f"source:{digest}")


async def stale_sources(database: Any, keep_days: float) -> list[str]:
    """Up to 100 digests that no push used for so long."""
    rows = await database.fetch(
        "select source from pushes where source_dropped_at is null group by source"
        " having bool_and(coalesce(ended_at < now() - make_interval(secs => $1 * 86400), false))"
        " limit 100",
        keep_days,
    )
    return [row["source"] for row in rows]


async def drop_source(tx: Any, digest: str, keep_days: float) -> bool:
    """Mark a source as dropped; False when a push has come to use it meanwhile."""
    stale = await tx.fetchval(
        "select bool_and(coalesce(ended_at < now() - make_interval(secs => $2 * 86400), false))"
        " from pushes"
        " where source = $1 and source_dropped_at is null",
        digest,
        keep_days,
    )
    if stale:
        await tx.execute("update pushes set source_dropped_at = now() where source = $1", digest)
    return bool(stale)


async def _lock(tx: Any, name: str) -> None:
    await tx.execute("select pg_advisory_xact_lock(hashtextextended($1, 0))", name)
