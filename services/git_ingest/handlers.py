"""What git_ingest does with the events it listens to."""

from typing import Any

from services.git_ingest import store
from services.git_ingest.repositories import Repositories
from shared.events import Event


async def know_app(event: Event, tx: Any, _: Repositories) -> None:
    await store.add_repository(tx, event.subject, event.data.owner, event.time)


async def set_access(event: Event, tx: Any, _: Repositories) -> None:
    grants = [grant.model_dump() for grant in event.data.grants]
    await store.set_access(tx, event.subject, event.data.owner, grants)


async def remove_app(event: Event, tx: Any, repositories: Repositories) -> None:
    """Take the repository away, unless an app of the same name was created since."""
    if await store.remove_repository(tx, event.subject, event.time):
        await store.fail_pushes_of(tx, event.subject, "the app was deleted")
        repositories.set_aside(event.subject)


async def end_live(event: Event, tx: Any, _: Repositories) -> None:
    await store.decide_push(tx, event.data.deploy_id, "succeeded", None, event.data.release)


async def end_failed(event: Event, tx: Any, _: Repositories) -> None:
    await store.decide_push(tx, event.data.deploy_id, "failed", event.data.reason)


HANDLERS = {
    "app.created": know_app,
    "access.changed": set_access,
    "app.deleted": remove_app,
    "build.failed": end_failed,
    "deploy.succeeded": end_live,
    "deploy.failed": end_failed,
}
