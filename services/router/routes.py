"""Routes as plain documents: what the gateway reads from the bucket `routes`."""

from typing import Any

from services.router.limits import LIMITS
from shared.events.catalogue import TargetsChanged

Route = dict[str, Any]
"""{app, revision, release, state, targets: [{instance, address, proof}], retiring: [instance],
prefix_mode, sticky, reason}; `release` is 0 while there is none.

In the bucket it has {limits: {name: number or None}, isolated} besides, which are not the
scheduler's and leave `revision` alone: a gateway takes them as they are, and no instance drains
because of them.
"""


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


def with_traffic(route: Route, chosen: Any) -> Route:
    """The route with what people chose for it: a row of `traffic`, or one of nulls."""
    return {
        **route,
        "limits": {name: chosen[name] for name in LIMITS},
        "isolated": bool(chosen["isolated"]),
    }
