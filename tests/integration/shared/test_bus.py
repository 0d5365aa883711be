"""Events from outbox to handler, over real servers."""

import asyncio
import contextlib
import time

from shared.bus.consumer import Consumer
from shared.bus.relay import Relay
from shared.database import outbox
from shared.errors import Invalid, Unavailable
from shared.events import new_event
from shared.events.catalogue import AppCreated


async def until(condition, seconds: float = 20.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition was never met"
        await asyncio.sleep(0.005)


def created(app: str, title: str = ""):
    return new_event("portal", AppCreated(app=app, owner="ada", title=title))


async def test_an_event_reaches_its_handler_once_committed(bus_for, database_for):
    database = await database_for("portal")
    relay = asyncio.create_task(Relay(database, await bus_for("portal")).run())
    heard = []

    async def handle(event):
        heard.append((event.data.title, time.perf_counter()))

    consuming = asyncio.create_task(Consumer(await bus_for("router"), "router", handle).run())
    hops = []
    for number in range(30):
        async with database.transaction() as tx:
            await outbox.record(tx, created("sales", str(number)))
        sent = time.perf_counter()
        await until(lambda number=number: len(heard) > number)
        hops.append(heard[-1][1] - sent)
    print("event hop, median ms:", sorted(hops)[15] * 1000)
    assert [title for title, _ in heard] == [str(n) for n in range(30)]
    relay.cancel()
    consuming.cancel()


async def test_a_failed_event_holds_back_its_app_and_no_other(bus_for):
    portal, router = await bus_for("portal"), await bus_for("router")
    heard = []

    async def handle(event):
        if event.subject == "slow" and event.data.title == "0" and len(heard) < 4:
            heard.append("failed")
            raise Unavailable("not yet")
        heard.append((event.subject, event.data.title))

    consuming = asyncio.create_task(Consumer(router, "router", handle).run())
    for title in "012":
        await portal.publish(created("slow", title))
        await portal.publish(created("quick", title))
    await until(lambda: ("slow", "2") in heard)
    assert [item for item in heard if item[0] == "slow"] == [("slow", t) for t in "012"]
    assert heard.index(("quick", "2")) < heard.index(("slow", "0"))
    consuming.cancel()


async def test_what_can_never_be_handled_becomes_a_dead_letter(bus_for):
    portal, router = await bus_for("portal"), await bus_for("router")
    refuse = True
    heard = []

    async def handle(event):
        if refuse:
            raise Invalid("no such colour")
        heard.append(event.id)

    consuming = asyncio.create_task(Consumer(router, "router", handle).run())
    event = created("sales")
    await portal.publish(event)
    letters = []
    deadline = asyncio.get_running_loop().time() + 10
    while not letters and asyncio.get_running_loop().time() < deadline:
        letters = await portal.dead_letters.list()
    assert [(x["service"], x["type"], x["event"]) for x in letters] == [
        ("router", "app.created", event.id)
    ]
    assert "no such colour" in letters[0]["reason"]
    refuse = False
    await portal.dead_letters.replay(letters[0]["id"])
    await until(lambda: heard == [event.id])
    assert await portal.dead_letters.list() == []
    consuming.cancel()


async def test_events_survive_the_server_and_the_loss_of_its_store(
    bus_for, database_for, nats_server
):
    database = await database_for("portal")
    relay = asyncio.create_task(Relay(database, await bus_for("portal")).run())
    heard = []

    async def handle(event):
        heard.append(event.data.title)

    consuming = asyncio.create_task(Consumer(await bus_for("router"), "router", handle).run())

    async def say(title):
        async with database.transaction() as tx:
            await outbox.record(tx, created("sales", title))

    await say("first")
    await until(lambda: "first" in heard)
    nats_server.kill()
    await say("second")
    nats_server.start()
    await until(lambda: "second" in heard)
    nats_server.lose_everything()
    await say("third")
    nats_server.start()
    await until(lambda: "third" in heard, 40)
    # Everything is told again, in order; the inbox of a service drops what it has handled.
    assert heard[-3:] == ["first", "second", "third"]
    relay.cancel()
    consuming.cancel()


async def test_a_watch_tells_values_changes_and_deletions_but_never_prunes(bus_for, nats_server):
    auth, gateway = await bus_for("auth"), await bus_for("gateway")
    seen = {}
    synced = asyncio.Event()

    def change(key, value):
        seen[key] = value

    await auth.bucket("access").put("sales", {"mode": "public"})
    watching = asyncio.create_task(gateway.bucket("access").watch(change, synced.set))
    await asyncio.wait_for(synced.wait(), 10)
    assert seen == {"sales": {"mode": "public"}}
    await auth.bucket("access").put("sales", {"mode": "restricted"})
    await auth.bucket("access").put("people/ö@x", {"mode": "public"})
    await until(lambda: len(seen) == 2 and seen["sales"] == {"mode": "restricted"})
    await auth.bucket("access").delete("people/ö@x")
    await until(lambda: seen["people/ö@x"] is None)
    nats_server.lose_everything()
    nats_server.start()
    await until(lambda: auth.connected and gateway.connected)
    assert seen["sales"] == {"mode": "restricted"}
    deadline = asyncio.get_running_loop().time() + 20
    while seen.get("again") is None:
        assert asyncio.get_running_loop().time() < deadline
        with contextlib.suppress(Unavailable):
            await auth.bucket("access").put("again", {"mode": "public"})
        await asyncio.sleep(0.1)
    watching.cancel()


async def test_nobody_publishes_or_reads_what_is_not_theirs(bus_for):
    builder = await bus_for("builder")
    try:
        await asyncio.wait_for(builder.publish(created("sales")), 8)
        raise AssertionError("the builder published an event of the portal's")
    except Unavailable:
        pass
    try:
        await builder.bucket("access").put("sales", {"mode": "public"})
        raise AssertionError("the builder wrote who may open what")
    except Unavailable:
        pass
