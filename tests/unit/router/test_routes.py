"""Routes as documents."""

import asyncio
import json

from gateway.drain import Drains
from gateway.pools import Pools
from gateway.reports import Reports
from gateway.table import RouteLimits, Table, read_route
from services.router.limits import LIMITS
from services.router.routes import empty_route, route_to, with_traffic
from shared.events.catalogue import Target, TargetsChanged

CHANGE = TargetsChanged(
    app="sales",
    revision=7,
    release=3,
    state="running",
    targets=(
        Target(instance="sales.web.7-1", address="unix:/run/a.sock", proof="process:4711:99"),
    ),
    retiring=("sales.web.6-1",),
    prefix_mode="strip",
    sticky=True,
    reason="release 3 is live",
)

NOTHING = dict.fromkeys(LIMITS) | {"isolated": False}
CHOSEN = NOTHING | {"concurrent": 5, "rate": 2.5, "isolated": True}


def test_route_says_what_the_scheduler_said():
    assert route_to(CHANGE) == {
        "app": "sales",
        "revision": 7,
        "release": 3,
        "state": "running",
        "targets": [
            {
                "instance": "sales.web.7-1",
                "address": "unix:/run/a.sock",
                "proof": "process:4711:99",
            }
        ],
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
    for route in (route_to(CHANGE), empty_route("sales"), with_traffic(route_to(CHANGE), CHOSEN)):
        assert json.loads(json.dumps(route)) == route


def test_a_gateway_reads_what_was_chosen():
    route = read_route("sales", with_traffic(route_to(CHANGE), CHOSEN))
    assert route.limits == RouteLimits(concurrent=5, rate=2.5)
    assert route.isolated
    assert route.targets[0].proof == "process:4711:99"
    plain = read_route("sales", with_traffic(route_to(CHANGE), NOTHING))
    assert (plain.limits, plain.isolated) == (RouteLimits(), False)


def test_a_gateway_takes_other_limits_of_the_same_revision():
    table = Table()
    assert table.set("routes", "sales", with_traffic(route_to(CHANGE), NOTHING))
    assert not table.set("routes", "sales", with_traffic(route_to(CHANGE), NOTHING))
    assert table.set("routes", "sales", with_traffic(route_to(CHANGE), CHOSEN))
    assert table.routes[b"sales"].revision == CHANGE.revision
    assert table.routes[b"sales"].limits.concurrent == 5


class Stream:
    """A WebSocket to an instance that is being drained."""

    def __init__(self) -> None:
        self.retired = asyncio.Event()

    def retire(self) -> None:
        self.retired.set()


async def test_other_limits_leave_a_drain_as_it_is():
    """It ends at its deadline however often other limits are heard of, and is told as before."""
    pools, reports, stream = Pools(), Reports("gateway-1"), Stream()
    pool = pools.of("sales.web.6-1", "127.0.0.1:20001")
    pool.load = 1
    pool.streams.add(stream)
    drains = Drains(pools, reports, seconds=0.3)
    limit = 0
    async with asyncio.timeout(10):
        while not stream.retired.is_set():
            limit += 1
            chosen = CHOSEN | {"concurrent": limit}
            drains.apply(read_route("sales", with_traffic(route_to(CHANGE), chosen)))
            await asyncio.sleep(0.02)
    assert limit > 1
    pool.end()
    told = []

    async def publish(fact):
        told.append(fact)

    await reports._send_all(publish)
    assert [(fact.TYPE, fact.revision) for fact in told] == [
        ("route.applied", CHANGE.revision),
        ("instance.drained", CHANGE.revision),
    ]
