"""Where an app's traffic goes: a pure function of its rows, and the event that says so."""

from collections.abc import Sequence
from typing import Any

from services.scheduler import store
from services.scheduler.engines.protocol import host_of, proof_of
from shared.database import outbox
from shared.events import new_event
from shared.events.catalogue import RouteState, Target, TargetsChanged


def routing_of(app: Any, instances: Sequence[Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """The content of `targets.changed` but for its revision.

    `app` and `instances` are rows; `manifest` has "prefix_mode" and "sticky" of the live release.
    """
    live = [
        row
        for row in instances
        if row["process_type"] == "web" and row["generation"] == app["live_generation"]
    ]
    answering = sorted(
        (row for row in live if row["state"] == "healthy"), key=lambda row: row["instance"]
    )
    retiring = sorted(
        row["instance"]
        for row in instances
        if row["state"] == "draining" and row["process_type"] == "web"
    )
    return {
        "release": app["live_release"] or 0,
        "state": _state(app, live, bool(answering)),
        "targets": [_target(row) for row in answering],
        "retiring": retiring,
        "prefix_mode": manifest.get("prefix_mode", "keep"),
        "sticky": manifest.get("sticky", False),
        "reason": next((row["reason"] for row in live if row["state"] == "crashed"), ""),
    }


def _target(row: Any) -> dict[str, str]:
    return {
        "instance": row["instance"],
        "address": f"{host_of(row['reference'])}:{row['port']}",
        "proof": proof_of(row["reference"]),
    }


def _state(app: Any, live: Sequence[Any], answering: bool) -> RouteState:
    if answering:
        return "running"
    if app["live_release"] is None:
        return "empty"
    if not app["formation"].get("web", 0):
        return "stopped"
    return "crashed" if any(row["state"] == "crashed" for row in live) else "starting"


async def announce(tx: Any, app_name: str, manifest: dict[str, Any] | None = None) -> int | None:
    """Tell the router, within `tx`, if anything about the app's traffic changed.

    Returns the revision told, None when all is as it was. `manifest` is needed when the live
    release changes; else prefix and stickiness stay as they were announced.
    """
    app = await store.lock_app(tx, app_name)
    if app is None:
        return None
    before = app["announced"] or {}
    content = routing_of(app, await store.instances_of(tx, app_name), manifest or before)
    if content == before:
        return None
    revision = app["revision"] + 1
    await store.set_announced(tx, app_name, revision, content)
    targets = tuple(Target(**target) for target in content["targets"])
    event = TargetsChanged(
        app=app_name,
        revision=revision,
        **{**content, "targets": targets, "retiring": tuple(content["retiring"])},
    )
    await outbox.record(tx, new_event("scheduler", event))
    await store.note_drain_revision(tx, app_name, revision)
    return revision
