"""The router's SQL. Every write notifies `CHANNEL`, which is heard only once it is committed."""

from collections.abc import Iterable
from typing import Any

from services.router.limits import LIMITS
from services.router.routes import Route, with_traffic
from shared.database import Database

CHANNEL = "router_routes"
"""Payload: "routes:<app>", the key in the bucket that a changed row concerns."""

_CHOSEN = f"{', '.join(LIMITS)}, coalesce(isolated, false) as isolated"
_TRAFFIC = (
    f"select revision, {_CHOSEN} from routes left join traffic using (app)"
    " where app = $1 and deleted_at is null"
)


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
    """Mark the app as deleted; False when it was not there. A new one begins without its limits."""
    deleted = await tx.fetchval(
        "update routes set deleted_at = now(), changed_at = now()"
        " where app = $1 and deleted_at is null returning true",
        app,
    )
    # Behind the route's lock, which whoever changes the limits holds as well.
    await tx.execute("delete from traffic where app = $1", app)
    await _notify(tx, app, deleted)
    return bool(deleted)


async def routes(database: Database, apps: Iterable[str] | None = None) -> dict[str, Route]:
    """Every route there is, or those of `apps` that exist, by app, as the gateways read them."""
    rows = await database.fetch(
        f"select app, document, {_CHOSEN} from routes left join traffic using (app)"
        " where deleted_at is null and ($1::text[] is null or app = any($1))",
        None if apps is None else list(apps),
    )
    return {row["app"]: with_traffic(row["document"], row) for row in rows}


async def traffic(source: Any, app: str) -> Any | None:
    """{revision, each limit (None: none of its own), isolated}; None when there is no such app.

    `source` is the database or a transaction.
    """
    return await source.fetchrow(_TRAFFIC, app)


async def lock_traffic(tx: Any, app: str) -> Any | None:
    """The same, which nobody else changes until the transaction ends."""
    # Read after waiting: in one query the row of `traffic` would be as it was before the wait.
    await tx.execute("select from routes where app = $1 for update", app)
    return await traffic(tx, app)


async def set_traffic(tx: Any, app: str, chosen: dict[str, Any], actor: str) -> None:
    """Write what people chose for an app that is locked."""
    names = (*LIMITS, "isolated", "changed_by")
    places = ", ".join(f"${number}" for number in range(2, len(names) + 2))
    await tx.execute(
        f"insert into traffic (app, {', '.join(names)}) values ($1, {places})"
        " on conflict (app) do update set changed_at = now(), "
        + ", ".join(f"{name} = excluded.{name}" for name in names),
        app,
        *(chosen[name] for name in LIMITS),
        chosen["isolated"],
        actor,
    )
    await _notify(tx, app, True)


async def prune(database: Database) -> None:
    """Forget apps that were deleted so long ago that no news of them is under way any more."""
    await database.execute("delete from routes where deleted_at < now() - interval '30 days'")


async def _notify(tx: Any, app: str, changed: Any) -> None:
    if changed:
        await tx.execute("select pg_notify($1, $2)", CHANNEL, f"routes:{app}")
