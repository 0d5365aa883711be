"""The portal's SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.portal.catalogue import App

_APPS = (
    "select name, owner, title, description, tags, created_at, release, deployed_at,"
    " deploy_error, coalesce(mode, 'restricted') as mode, coalesce(grants, '[]') as grants"
    " from apps left join access on access.app = apps.name"
)


async def apps(db: Any) -> list[App]:
    return [_app(row) for row in await db.fetch(f"{_APPS} order by lower(title || name)")]


async def app(db: Any, name: str) -> App | None:
    row = await db.fetchrow(f"{_APPS} where name = $1", name)
    return _app(row) if row else None


async def create(
    tx: Any, name: str, owner: str, title: str, description: str, tags: Sequence[str]
) -> bool:
    """False when there is an app of this name already."""
    return bool(
        await tx.fetchval(
            "insert into apps (name, owner, title, description, tags)"
            " values ($1, $2, $3, $4, $5) on conflict do nothing returning true",
            name,
            owner,
            title,
            description,
            list(tags),
        )
    )


async def describe(tx: Any, name: str, changes: dict[str, Any]) -> None:
    """Set those of title, description and tags that `changes` has."""
    await tx.execute(
        "update apps set title = coalesce($2, title), description = coalesce($3, description),"
        " tags = coalesce($4, tags) where name = $1",
        name,
        changes.get("title"),
        changes.get("description"),
        changes.get("tags"),
    )


async def delete(tx: Any, name: str) -> bool:
    await tx.execute("delete from access where app = $1", name)
    return bool(await tx.fetchval("delete from apps where name = $1 returning true", name))


async def note_deploy(tx: Any, name: str, release: int, at: datetime) -> None:
    await tx.execute(
        "update apps set release = $2, deployed_at = $3, deploy_error = null,"
        " deploy_failed_at = null where name = $1",
        name,
        release,
        at,
    )


async def note_failure(tx: Any, name: str, reason: str, at: datetime) -> None:
    await tx.execute(
        "update apps set deploy_error = $2, deploy_failed_at = $3 where name = $1",
        name,
        reason,
        at,
    )


async def set_access(tx: Any, name: str, owner: str, mode: str, grants: list[Any]) -> None:
    """Take over what auth says; nothing for an app that is gone."""
    known = await tx.fetchval(
        "update apps set owner = $2 where name = $1 returning true", name, owner
    )
    if known:
        await tx.execute(
            "insert into access (app, mode, grants) values ($1, $2, $3) on conflict (app)"
            " do update set mode = excluded.mode, grants = excluded.grants",
            name,
            mode,
            grants,
        )


async def add_activity(
    tx: Any, event_id: str, app: str, kind: str, actor: str, data: dict[str, Any], at: datetime
) -> None:
    await tx.execute(
        "insert into activity (event_id, app, type, actor, data, happened_at)"
        " values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
        event_id,
        app,
        kind,
        actor,
        data,
        at,
    )


async def activity(db: Any, apps: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """The newest first: {id, time, type, app, actor, data}; of these apps, or of all (None)."""
    rows = await db.fetch(
        "select id, happened_at as time, type, app, actor, data from activity"
        " where $1::text[] is null or app = any($1) order by id desc limit $2",
        None if apps is None else list(apps),
        limit,
    )
    return [dict(row) for row in rows]


async def prune_activity(db: Any, days: int) -> None:
    await db.execute(
        "delete from activity where happened_at < now() - make_interval(days => $1)", days
    )


async def add_audit(
    tx: Any, actor: str, action: str, app: str | None = None, detail: dict[str, Any] | None = None
) -> None:
    await tx.execute(
        "insert into audit (actor, action, app, detail) values ($1, $2, $3, $4)",
        actor,
        action,
        app,
        detail or {},
    )


def _app(row: Any) -> App:
    return App(**{**dict(row), "tags": tuple(row["tags"]), "grants": tuple(row["grants"])})
