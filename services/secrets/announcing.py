"""Tells the platform of a new version: its number and the names, never the values."""

from typing import Any

from shared.database import outbox
from shared.events import new_event
from shared.events.catalogue import ConfigChanged


async def announce(tx: Any, row: Any) -> None:
    """Record `config.changed` for a row of `versions` just written; None: nothing was."""
    if row is not None:
        changed = ConfigChanged(
            app=row["app"], version=row["version"], names=tuple(row["names"]), actor=row["actor"]
        )
        await outbox.record(tx, new_event("secrets", changed))
