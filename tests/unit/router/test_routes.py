"""Routes as documents."""

import json

from services.router.routes import empty_route, route_to
from shared.events.catalogue import Target, TargetsChanged

CHANGE = TargetsChanged(
    app="sales",
    revision=7,
    release=3,
    state="running",
    targets=(Target(instance="sales.web.7-1", address="unix:/run/a.sock"),),
    retiring=("sales.web.6-1",),
    prefix_mode="strip",
    sticky=True,
    reason="release 3 is live",
)


def test_route_says_what_the_scheduler_said():
    assert route_to(CHANGE) == {
        "app": "sales",
        "revision": 7,
        "release": 3,
        "state": "running",
        "targets": [{"instance": "sales.web.7-1", "address": "unix:/run/a.sock"}],
        "retiring": ["sales.web.6-1"],
        "prefix_mode": "strip",
        "sticky": True,
        "reason": "release 3 is live",
    }


def test_empty_route_has_the_same_fields():
    empty = empty_route("sales")
    assert empty.keys() == route_to(CHANGE).keys()
    assert empty["revision"] == 0
    assert empty["targets"] == []


def test_routes_survive_json_unchanged():
    """The comparison of table and bucket rests on this."""
    for route in (route_to(CHANGE), empty_route("sales")):
        assert json.loads(json.dumps(route)) == route
