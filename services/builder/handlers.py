"""What the builder does with the events it listens to."""

from typing import Any

from services.builder import store
from shared.database import outbox
from shared.events import Event, new_event
from shared.events.catalogue import BuildFailed
from shared.names import new_id

SUPERSEDED = "A newer push of this app took its place before its build began."


async def queue_build(event: Event, tx: Any, _parts: None) -> None:
    """Queue a build; one of the same app that still waits is given up for it."""
    pushed = event.data
    for row in await store.supersede(tx, pushed.app, SUPERSEDED):
        failed = BuildFailed(
            app=pushed.app, deploy_id=row["deploy_id"], build_id=row["id"], reason=SUPERSEDED
        )
        await outbox.record(tx, new_event("builder", failed))
    await store.queue(tx, new_id(), pushed, event.traceparent)


async def cancel_build(event: Event, tx: Any, _parts: None) -> None:
    """Give the build of a deploy up, and say that it ended: a newer push may wait for that."""
    cancelled = event.data
    reason = f"The push was cancelled ({cancelled.reason})."
    build_id = await store.cancel(tx, cancelled.deploy_id, reason)
    if build_id:
        failed = BuildFailed(
            app=cancelled.app, deploy_id=cancelled.deploy_id, build_id=build_id, reason=reason
        )
        await outbox.record(tx, new_event("builder", failed))


async def forget_app(event: Event, tx: Any, _parts: None) -> None:
    await store.forget(tx, event.subject)


HANDLERS = {
    "app.pushed": queue_build,
    "push.cancelled": cancel_build,
    "app.deleted": forget_app,
}
