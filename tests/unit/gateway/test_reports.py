"""What the gateway tells the scheduler."""

import asyncio
import contextlib

from gateway.reports import Reports
from shared.errors import Unavailable
from shared.events import EventData
from shared.events.catalogue import InstanceDrained, RouteApplied


class Listener:
    def __init__(self) -> None:
        self.heard: list[EventData] = []
        self.away = False

    async def __call__(self, data: EventData) -> None:
        if self.away:
            raise Unavailable("away")
        self.heard.append(data)


async def until(listener: Listener, count: int) -> None:
    async with asyncio.timeout(5):
        while len(listener.heard) < count:
            await asyncio.sleep(0.005)


async def test_told_once_or_repeated() -> None:
    reports, listener = Reports("g"), Listener()
    listener.away = True
    reports.applied("a", 1)
    reports.applied("a", 2)
    reports.drained("a", "a.web.1-0", 2)
    sending = asyncio.create_task(reports.send(listener, 0.02))
    await asyncio.sleep(0.05)
    listener.away = False
    await until(listener, 4)
    applied = RouteApplied(app="a", revision=2, gateway="g")
    drained = InstanceDrained(app="a", instance="a.web.1-0", revision=2, gateway="g")
    assert listener.heard[:4] == [applied, drained, drained, drained]
    reports.keep_only("a", ())
    await asyncio.sleep(0.03)
    count = len(listener.heard)
    await asyncio.sleep(0.1)
    assert len(listener.heard) == count
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
