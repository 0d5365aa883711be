"""What the router does with the events it listens to."""

from typing import Any

from services.router import store
from services.router.routes import empty_route, route_to
from shared.database import outbox
from shared.events import Event, new_event
from shared.events.catalogue import RouteChanged


async def open_route(event: Event, tx: Any, _parts: None) -> None:
    """A new app is known to the gateways at once: it answers 503, not 404."""
    app = event.subject
    if await store.create(tx, app, empty_route(app)):
        await _announce(tx, app, 0)


async def move_route(event: Event, tx: Any, _parts: None) -> None:
    """Lead the traffic where the scheduler says, unless we know something newer."""
    change = event.data
    if await store.advance(tx, change.app, change.revision, route_to(change)):
        await _announce(tx, change.app, change.revision)


async def close_route(event: Event, tx: Any, _parts: None) -> None:
    await store.delete(tx, event.subject)


async def _announce(tx: Any, app: str, revision: int) -> None:
    await outbox.record(tx, new_event("router", RouteChanged(app=app, revision=revision)))


HANDLERS = {
    "app.created": open_route,
    "targets.changed": move_route,
    "app.deleted": close_route,
}
