"""Routes as plain documents: what the gateway reads from the bucket `routes`."""

from typing import Any

from shared.events.catalogue import TargetsChanged

Route = dict[str, Any]
"""{app, revision, release, state, targets: [{instance, address}], retiring: [instance],
prefix_mode, sticky, reason}; `release` is 0 while there is none."""


def empty_route(app: str) -> Route:
    """The route of an app that exists and has nothing to run yet."""
    return {
        "app": app,
        "revision": 0,
        "release": 0,
        "state": "empty",
        "targets": [],
        "retiring": [],
        "prefix_mode": "keep",
        "sticky": False,
        "reason": "Nothing has been pushed to this app yet.",
    }


def route_to(change: TargetsChanged) -> Route:
    """The route that the scheduler asks for."""
    return change.model_dump(mode="json")
