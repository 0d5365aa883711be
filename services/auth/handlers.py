"""What the auth service does with events."""

from typing import Any

from services.auth import store
from services.auth.access import announce
from shared.events import Event


async def open_to_owner(event: Event, tx: Any, _parts: None) -> None:
    """A new app is open to its owner only, until its access says otherwise."""
    if await store.add_rule(tx, event.subject, event.data.owner):
        await announce(tx, event.subject)


async def forget_app(event: Event, tx: Any, _parts: None) -> None:
    await store.delete_rule(tx, event.subject)


HANDLERS = {
    "app.created": open_to_owner,
    "app.deleted": forget_app,
}
