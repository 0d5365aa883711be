"""The router against real servers: table, bucket, fencing, loss of the bucket."""

import asyncio
import time

import pytest

from services.router import store
from services.router.copies import copies
from services.router.handlers import HANDLERS
from shared.bus.copies import Copies
from shared.database import Database, outbox
from shared.errors import Unavailable
from shared.events import Event, EventData, new_event
from shared.events.catalogue import AppCreated, AppDeleted, Target, TargetsChanged

pytestmark = pytest.mark.asyncio


async def eventually(read, wanted, seconds=15.0):
    """Poll until `read()` gives `wanted`."""
    deadline = time.monotonic() + seconds
    while (found := await read()) != wanted:
        assert time.monotonic() < deadline, f"{found!r} is not {wanted!r}"
        await asyncio.sleep(0.02)


def targets(app: str, revision: int, port: int = 20001) -> TargetsChanged:
    return TargetsChanged(
        app=app,
        revision=revision,
        release=1,
        state="running",
        targets=(Target(instance=f"{app}.web.{revision}-1", address=f"127.0.0.1:{port}"),),
    )


class Platform:
    """The other services as far as the router knows them."""

    def __init__(self, bus_for, bucket) -> None:
        self._bus_for = bus_for
        self.bucket = bucket

    async def publish(self, source: str, *data: EventData) -> None:
        bus = await self._bus_for(source)
        for one in data:
            await bus.publish(new_event(source, one))

    async def revision(self, app: str) -> int | None:
        route = await self.bucket.get(app)
        return route["revision"] if route else None


@pytest.fixture
async def platform(bus_for):
    gateway = await bus_for("gateway")
    return Platform(bus_for, gateway.bucket("routes"))


async def test_life_of_a_route(platform, start_service):
    await start_service("router")
    await platform.publish("portal", AppCreated(app="sales", owner="ada"))
    await eventually(lambda: platform.revision("sales"), 0)
    assert (await platform.bucket.get("sales"))["state"] == "empty"

    await platform.publish("scheduler", targets("sales", 3), targets("sales", 2, 20002))
    await eventually(lambda: platform.revision("sales"), 3)
    await platform.publish("scheduler", targets("sales", 4, 20004))
    await eventually(lambda: platform.revision("sales"), 4)
    route = await platform.bucket.get("sales")
    assert route["targets"] == [
        {"instance": "sales.web.4-1", "address": "127.0.0.1:20004", "proof": ""}
    ]

    await platform.publish("portal", AppDeleted(app="sales"))
    await eventually(lambda: platform.revision("sales"), None)
    # News that was under way when the app was deleted does not bring it back; a new app does.
    await platform.publish("scheduler", targets("sales", 9))
    await platform.publish("portal", AppCreated(app="sales", owner="bob"))
    await eventually(lambda: platform.revision("sales"), 0)


async def test_lost_bucket_is_written_again(platform, start_service, nats_server):
    await start_service("router")
    await platform.publish("portal", AppCreated(app="sales", owner="ada"))
    await platform.publish("scheduler", targets("sales", 5))
    await eventually(lambda: platform.revision("sales"), 5)

    nats_server.lose_everything()
    nats_server.start()
    await eventually(lambda: _quiet(platform.revision("sales")), 5, seconds=30)


async def _quiet(reading):
    try:
        return await reading
    except Unavailable:
        return None


async def test_routes_that_changed_while_the_bus_was_away(
    platform, start_service, nats_server, database_for
):
    """The rows are committed; the bucket has them as soon as it can be written."""
    await start_service("router")
    await platform.publish("portal", AppCreated(app="sales", owner="ada"))
    await eventually(lambda: platform.revision("sales"), 0)
    database = await database_for("router")
    nats_server.kill()
    async with database.transaction() as tx:
        event: Event = new_event("scheduler", targets("sales", 8))
        await HANDLERS[event.type](event, tx, None)
    nats_server.start()
    await eventually(lambda: _quiet(platform.revision("sales")), 8, seconds=30)


async def test_wrong_and_left_over_entries_are_put_right(platform, start_service, bus_for):
    await start_service("router", router_compare_seconds="0.3")
    await platform.publish("portal", AppCreated(app="sales", owner="ada"))
    await platform.publish("scheduler", targets("sales", 5))
    await eventually(lambda: platform.revision("sales"), 5)
    intruder = (await bus_for("router", "router-9")).bucket("routes")
    await intruder.put("sales", {"app": "sales", "revision": 1})
    await intruder.put("ghost", {"app": "ghost", "revision": 1})
    await eventually(lambda: platform.revision("sales"), 5)
    await eventually(lambda: platform.revision("ghost"), None)


async def test_two_routers_and_the_death_of_one(platform, start_service):
    first = await start_service("router", "router-1")
    await start_service("router", "router-2")
    await platform.publish("portal", AppCreated(app="sales", owner="ada"))
    for revision in range(1, 20):
        await platform.publish("scheduler", targets("sales", revision))
    await eventually(lambda: platform.revision("sales"), 19)
    await first.stop()
    await platform.publish("scheduler", targets("sales", 20))
    await eventually(lambda: platform.revision("sales"), 20)


async def test_route_follows_the_commit_at_once(database_for, bus_for):
    """From commit to bucket on the notification alone: the clock is an hour."""
    database: Database = await database_for("router")
    bus = await bus_for("router")
    bucket = bus.bucket("routes")
    copied = Copies(database, store.CHANNEL, copies(database, bus), bus.ensure_topology, clock=3600)
    follower = asyncio.create_task(copied.follow())
    seen: dict[int, asyncio.Future[float]] = {}

    def note(_app: str, route) -> None:
        arrived = seen.setdefault(route["revision"], asyncio.Future())
        if not arrived.done():
            arrived.set_result(time.perf_counter())

    watcher = asyncio.create_task(bucket.watch(note, lambda: None))
    try:
        delays = []
        for revision in range(1, 21):
            async with database.transaction() as tx:
                event: Event = new_event("scheduler", targets("sales", revision))
                await HANDLERS[event.type](event, tx, None)
            committed = time.perf_counter()
            delays.append(
                await asyncio.wait_for(seen.setdefault(revision, asyncio.Future()), 10) - committed
            )
        delays = sorted(delays[5:])
        print(f"commit to bucket: median {delays[len(delays) // 2] * 1000:.1f} ms")
        assert delays[len(delays) // 2] < 0.1
        assert len(await outbox.waiting(database)) == 20
        assert (await store.routes(database))["sales"]["revision"] == 20
    finally:
        follower.cancel()
        watcher.cancel()
        await asyncio.gather(follower, watcher, return_exceptions=True)
