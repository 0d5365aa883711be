"""What the scheduler does with events: it writes rows, and the rows wake whoever works on them."""

from typing import Any

from services.scheduler import store
from shared.database import outbox
from shared.events import Event, new_event
from shared.events.catalogue import DeployFailed
from shared.process import Handler


async def on_app_created(event: Event, tx: Any, _: None) -> None:
    await store.revive_app(tx, event.subject)
    await store.ensure_app(tx, event.subject)


async def on_app_deleted(event: Event, tx: Any, _: None) -> None:
    await store.forget_app(tx, event.subject)


async def on_build_succeeded(event: Event, tx: Any, _: None) -> None:
    """A build becomes a release, and a rollout of it waits to be worked on."""
    build = event.data
    if await store.is_deleted(tx, build.app):
        gone = DeployFailed(
            app=build.app, deploy_id=build.deploy_id, reason=f"'{build.app}' was deleted."
        )
        await outbox.record(tx, new_event("scheduler", gone))
        return
    await store.ensure_app(tx, build.app)
    release = await store.add_release(
        tx,
        build.app,
        image=build.image,
        kind=build.kind,
        process_types=build.process_types,
        build_id=build.build_id,
        commit=build.commit,
        author=build.author,
        message=build.message,
        actor=build.pusher,
        reason=f"deploy {build.commit[:8]}",
    )
    await store.add_rollout(tx, build.app, "deploy", release, build.deploy_id)


async def on_config_changed(event: Event, tx: Any, _: None) -> None:
    """New config rolls what is live; a rollout that has not begun will read it anyway."""
    change = event.data
    app = await store.lock_app(tx, change.app)
    if app is None or app["live_release"] is None:
        return
    if await store.waits_for_config(tx, change.app):
        return
    reason = f"config: {', '.join(change.names)}"
    release = await store.copy_release(tx, change.app, app["live_release"], reason, change.actor)
    if release is not None:
        await store.add_rollout(tx, change.app, "config", release, None)


async def on_push_cancelled(event: Event, tx: Any, _: None) -> None:
    await store.cancel_deploy(tx, event.data.deploy_id, event.data.reason)


async def on_route_applied(event: Event, tx: Any, _: None) -> None:
    applied = event.data
    await store.note_applied(tx, applied.app, applied.gateway, applied.revision)


async def on_instance_drained(event: Event, tx: Any, _: None) -> None:
    drained = event.data
    await store.note_drained(tx, drained.instance, drained.gateway, drained.revision)


HANDLERS: dict[str, Handler] = {
    "app.created": on_app_created,
    "app.deleted": on_app_deleted,
    "build.succeeded": on_build_succeeded,
    "config.changed": on_config_changed,
    "push.cancelled": on_push_cancelled,
    "route.applied": on_route_applied,
    "instance.drained": on_instance_drained,
}
