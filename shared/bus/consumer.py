"""How a service hears events: each app's in order, different apps' in parallel.

One process of a service consumes at a time (it holds the lease), so that the order of one app's
events does not depend on how many processes run; the work that takes time lies in job rows that all
of them share. A slot is free before a message is fetched for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Any

import orjson
from nats.aio.msg import Msg

from shared import telemetry
from shared.bus import topology
from shared.bus.connection import NATS_AWAY, Bus
from shared.bus.outcomes import Outcome, delay_before, outcome_of
from shared.errors import Invalid, Unavailable
from shared.events import Event
from shared.logs import get_logger

logger = get_logger(__name__)

SLOTS = 64
"""Messages that one process holds at a time, waiting or being handled."""
PULL_SECONDS = 20.0
EXTEND_SECONDS = topology.ACK_WAIT_SECONDS / 3

Handle = Callable[[Event], Awaitable[None]]


@dataclass
class Lane:
    """The messages of one app, by their place in the stream."""

    waiting: list[tuple[int, Msg]] = field(default_factory=list[tuple[int, Msg]])
    running: asyncio.Task[None] | None = None
    awaited: int | None = None
    """Place of a message that failed and must come back before any later one is handled."""

    def push(self, place: int, message: Msg) -> None:
        if all(place != held for held, _ in self.waiting):
            heappush(self.waiting, (place, message))
        if self.awaited is not None and place <= self.awaited:
            self.awaited = None

    def pop(self) -> tuple[int, Msg] | None:
        """The message to handle next; None while there is none or an earlier must come first."""
        if self.running or self.awaited is not None or not self.waiting:
            return None
        return heappop(self.waiting)


class Consumer:
    """Pulls a service's events and hands each to `handle`, which raises what went wrong."""

    def __init__(self, bus: Bus, service: str, handle: Handle) -> None:
        self._bus = bus
        self._service = service
        self._handle = handle
        self._lanes: dict[str, Lane] = {}
        self._held = 0
        self._wake = asyncio.Event()
        self._asked = 0
        self._trouble = ""
        self._stopping = False

    async def run(self) -> None:
        """Consume until cancelled; survives everything that the bus can do."""
        while not self._stopping:
            try:
                await self._consume()
            except (*NATS_AWAY, Unavailable, ConnectionResetError) as error:
                logger.info("consumer begins again", extra={"cause": repr(error)})
                await self._finish_running()
                self._lanes.clear()
                await asyncio.sleep(0.25)
                with contextlib.suppress(Unavailable):
                    await self._bus.ensure_topology()

    async def stop(self) -> None:
        """Fetch nothing more and finish what is being handled."""
        self._stopping = True
        await self._finish_running()

    async def _finish_running(self) -> None:
        for lane in self._lanes.values():
            lane.waiting.clear()
        running = [lane.running for lane in self._lanes.values() if lane.running]
        if running:
            await asyncio.wait(running, timeout=20)

    async def _consume(self) -> None:
        await topology.ensure_consumer(self._bus.js, self._service)
        inbox = self._bus.client.new_inbox()
        subscription = await self._bus.client.subscribe(inbox, cb=self._receive)
        extender = asyncio.create_task(self._extend())
        self._bus.on_reconnect(self._lose)
        self._held, self._asked, self._trouble = 0, 0, ""
        try:
            while not self._stopping:
                self._wake.clear()
                if self._trouble:
                    raise ConnectionResetError(self._trouble)
                free = SLOTS - self._held
                if not self._asked and free:
                    await self._pull(inbox, free)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PULL_SECONDS + 10):
                        await self._wake.wait()
                    continue
                self._trouble = "the server did not answer a pull"
        finally:
            self._bus.off_reconnect(self._lose)
            extender.cancel()
            with contextlib.suppress(*NATS_AWAY):
                await subscription.unsubscribe()

    async def _pull(self, inbox: str, batch: int) -> None:
        self._asked = batch
        request = {"batch": batch, "expires": int(PULL_SECONDS * 1e9)}
        await self._bus.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{topology.EVENTS}.{self._service}",
            orjson.dumps(request),
            inbox,
        )

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is not None:
            self._asked = 0
            # 404 and 408 end a pull that found nothing; the others mean that something is wrong.
            if status not in ("404", "408"):
                self._trouble = f"pull ended with status {status}"
            self._wake.set()
            return
        self._asked = max(0, self._asked - 1)
        self._held += 1
        lane = self._lanes.setdefault(_app_of(message.subject), Lane())
        before = len(lane.waiting)
        lane.push(message.metadata.sequence.stream, message)
        self._held -= int(len(lane.waiting) == before)
        self._advance(lane)
        self._wake.set()

    def _advance(self, lane: Lane) -> None:
        if self._stopping or (taken := lane.pop()) is None:
            return
        place, message = taken
        lane.running = asyncio.create_task(self._work(lane, place, message))

    async def _work(self, lane: Lane, place: int, message: Msg) -> None:
        attempt = message.metadata.num_delivered or 1
        error: BaseException | None = None
        event: Event | None = None
        try:
            event = Event.parse(message.data)
            with telemetry.span(f"handle {event.type}", event.traceparent, app=event.subject):
                await self._handle(event)
        except Exception as raised:
            error = raised
        try:
            await self._settle(lane, place, message, attempt, error)
        except (*NATS_AWAY, Unavailable) as trouble:
            logger.warning("outcome not sent; it comes again", extra={"cause": repr(trouble)})
        finally:
            lane.running = None
            self._held -= 1
            self._advance(lane)
            self._wake.set()
            if not lane.waiting and not lane.running and lane.awaited is None:
                self._lanes.pop(_app_of(message.subject), None)

    async def _settle(
        self, lane: Lane, place: int, message: Msg, attempt: int, error: BaseException | None
    ) -> None:
        outcome = outcome_of(error, attempt)
        if outcome is Outcome.DONE:
            await message.ack()
            return
        level = logger.error if outcome is Outcome.DEAD else logger.warning
        unforeseen = error is not None and not isinstance(error, (Unavailable, Invalid))
        level(
            "event not handled",
            extra={"subject": message.subject, "attempt": attempt, "outcome": outcome.value},
            exc_info=error if unforeseen else None,
        )
        if outcome is Outcome.RETRY:
            lane.awaited = place
            await message.nak(delay=delay_before(attempt))
            return
        await self._bus.dead_letters.bury(
            self._service, message.data, _obituary(error, attempt, message.subject)
        )
        await message.term()

    async def _extend(self) -> None:
        """Keep the server from delivering again what still waits here."""
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            for lane in list(self._lanes.values()):
                for _, message in lane.waiting:
                    with contextlib.suppress(*NATS_AWAY):
                        await message.in_progress()

    def _lose(self) -> None:
        self._trouble = "the bus connection was lost and is back"
        self._wake.set()


def _app_of(subject: str) -> str:
    return subject.rpartition(".")[2]


def _obituary(error: BaseException | None, attempt: int, subject: str) -> dict[str, Any]:
    reason = f"{type(error).__name__}: {error}".replace("\r", " ").replace("\n", " ")
    return {
        "Moorage-Reason": reason[:500],
        "Moorage-Attempts": str(attempt),
        "Moorage-Subject": subject,
        "Moorage-Time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
