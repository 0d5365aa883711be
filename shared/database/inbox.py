"""The inbox: an event takes effect once, however often the bus delivers it."""

from typing import Any


async def first_time(tx: Any, event_id: str) -> bool:
    """Note within `tx` that the event is handled; False when it was handled before."""
    return bool(
        await tx.fetchval(
            "insert into inbox (event_id) values ($1) on conflict do nothing returning true",
            event_id,
        )
    )
