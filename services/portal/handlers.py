"""What the portal does with events and calls."""

from typing import Any

from services.portal import store
from services.portal.apps import Apps
from shared.events import Event

ACTORS = ("actor", "pusher", "owner")


async def note(event: Event, tx: Any, _parts: Apps) -> None:
    """Keep the event for the activity feed."""
    data = event.data.model_dump(mode="json", exclude={"app"})
    actor = next((data[name] for name in ACTORS if data.get(name)), "")
    await store.add_activity(tx, event.id, event.subject, event.type, actor, data, event.time)


async def note_deploy(event: Event, tx: Any, parts: Apps) -> None:
    await note(event, tx, parts)
    await store.note_deploy(tx, event.subject, event.data.release, event.time)


async def note_failure(event: Event, tx: Any, parts: Apps) -> None:
    await note(event, tx, parts)
    await store.note_failure(tx, event.subject, event.data.reason, event.time)


async def note_access(event: Event, tx: Any, parts: Apps) -> None:
    await note(event, tx, parts)
    rule = event.data
    grants = [grant.model_dump() for grant in rule.grants]
    await store.set_access(tx, rule.app, rule.owner, rule.mode, grants)


async def create_app(payload: dict[str, Any], parts: Apps) -> dict[str, Any]:
    """Answer `portal.create-app` {name, owner} -> {created, owner}.

    Whoever asks has checked that `owner` may create apps.
    """
    name, owner = str(payload.get("name", "")), str(payload.get("owner", ""))
    return {"created": await parts.create(name, owner), "owner": owner}


HANDLERS = {
    "app.created": note,
    "app.deleted": note,
    "app.pushed": note,
    "build.started": note,
    "build.succeeded": note,
    "build.failed": note,
    "release.created": note,
    "route.changed": note,
    "instance.started": note,
    "instance.stopped": note,
    "instance.crashed": note,
    "app.scaled": note,
    "config.changed": note,
    "deploy.succeeded": note_deploy,
    "deploy.failed": note_failure,
    "access.changed": note_access,
}

ANSWERS = {
    "portal.create-app": create_app,
}
