"""Telling the platform that a push is off."""

from typing import Any

from services.git_ingest.store import Cancelled
from shared.database import outbox
from shared.events import new_event
from shared.events.catalogue import PushCancelled


async def publish_cancelled(tx: Any, cancelled: Cancelled, reason: str) -> None:
    """Publish `push.cancelled`, unless nobody has heard of the push yet."""
    if cancelled.published:
        data = PushCancelled.model_validate(
            {"app": cancelled.app, "deploy_id": cancelled.deploy_id, "reason": reason}
        )
        await outbox.record(tx, new_event("git_ingest", data))
