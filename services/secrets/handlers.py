"""What the secrets service does with events and calls."""

from dataclasses import dataclass
from typing import Any

from services.secrets import store
from services.secrets.issuing import Issuer
from services.secrets.removals import Removals
from shared.database import Database
from shared.events import Event
from shared.names import check_app_name


@dataclass(frozen=True)
class Parts:
    """What handlers and answerers work with."""

    database: Database
    issuer: Issuer
    removals: Removals


async def know_app(event: Event, tx: Any, _parts: Parts) -> None:
    await store.add_app(tx, event.subject)


async def forget_app(event: Event, tx: Any, _parts: Parts) -> None:
    """Its document goes a moment later: the store may be away, and the handler must not wait."""
    await store.remove_app(tx, event.subject)


async def issue(payload: dict[str, Any], parts: Parts) -> dict[str, Any]:
    """Answer `secrets.issue` {app, instance}: see `Issuer.issue`."""
    app = check_app_name(str(payload.get("app", "")))
    await parts.removals.finish(app)
    return await parts.issuer.issue(app, await store.version(parts.database, app))


HANDLERS = {
    "app.created": know_app,
    "app.deleted": forget_app,
}

ANSWERS = {
    "secrets.issue": issue,
}
