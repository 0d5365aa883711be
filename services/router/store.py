"""The router's SQL. Every write notifies `CHANNEL`, which is heard only once it is committed."""

from collections.abc import Iterable
from typing import Any

from services.router.routes import Route
from shared.database import Database

CHANNEL = "router_routes"
"""Payload: the app whose row changed."""


async def create(tx: Any, app: str, route: Route) -> bool:
    """Write the first route of an app; False when it has a route already."""
    created = await tx.fetchval(
        "insert into routes (app, revision, document) values ($1, 0, $2)"
        " on conflict (app) do update set revision = 0, document = excluded.document,"
        " deleted_at = null, changed_at = now() where routes.deleted_at is not null"
        " returning true",
        app,
        route,
    )
    await _notify(tx, app, created)
    return bool(created)


async def advance(tx: Any, app: str, revision: int, route: Route) -> bool:
    """Replace the route by one of a newer revision; False when it is not newer, or the app gone."""
    advanced = await tx.fetchval(
        "insert into routes (app, revision, document) values ($1, $2, $3)"
        " on conflict (app) do update set revision = excluded.revision,"
        " document = excluded.document, changed_at = now()"
        " where routes.deleted_at is null and routes.revision < excluded.revision"
        " returning true",
        app,
        revision,
        route,
    )
    await _notify(tx, app, advanced)
    return bool(advanced)


async def delete(tx: Any, app: str) -> bool:
    """Mark the app as deleted; False when it was not there."""
    deleted = await tx.fetchval(
        "update routes set deleted_at = now(), changed_at = now()"
        " where app = $1 and deleted_at is null returning true",
        app,
    )
    await _notify(tx, app, deleted)
    return bool(deleted)


async def routes(database: Database) -> dict[str, Route]:
    """Every route there is, by app."""
    rows = await database.fetch("select app, document from routes where deleted_at is null")
    return {row["app"]: row["document"] for row in rows}


async def routes_of(database: Database, apps: Iterable[str]) -> dict[str, Route | None]:
    """The routes of these apps; None for an app that has none or no more."""
    asked = list(apps)
    rows = await database.fetch(
        "select app, document from routes where deleted_at is null and app = any($1::text[])",
        asked,
    )
    found: dict[str, Route | None] = dict.fromkeys(asked)
    found.update({row["app"]: row["document"] for row in rows})
    return found


async def prune(database: Database) -> None:
    """Forget apps that were deleted so long ago that no news of them is under way any more."""
    await database.execute("delete from routes where deleted_at < now() - interval '30 days'")


async def _notify(tx: Any, app: str, changed: Any) -> None:
    if changed:
        await tx.execute("select pg_notify($1, $2)", CHANNEL, app)
