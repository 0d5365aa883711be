"""The relay: carries what waits in the outbox to the bus, in order, and notices a lost stream."""

import asyncio
import contextlib

from shared.bus import topology
from shared.bus.connection import NATS_AWAY, Bus
from shared.database import Database, outbox
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

POLL_SECONDS = 1.0
"""The safety net under the notification that wakes the relay."""
PRUNE_SECONDS = 3600.0
STREAM_CHECK_SECONDS = 15.0


class Relay:
    """Publishes one service's outbox; of several processes the one with the lease does it."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._wake = asyncio.Event()

    async def run(self) -> None:
        await self._database.listen(f"{self._database.schema}_outbox", lambda _: self._wake.set())
        self._bus.on_reconnect(self._wake.set)
        while True:
            async with self._database.lease("outbox") as lost:
                while not lost.is_set():
                    await self._turn(lost)

    async def _turn(self, lost: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        next_check = next_prune = 0.0
        while not lost.is_set():
            try:
                if loop.time() >= next_check:
                    await self._check_stream()
                    next_check = loop.time() + STREAM_CHECK_SECONDS
                if loop.time() >= next_prune:
                    await outbox.prune(self._database)
                    next_prune = loop.time() + PRUNE_SECONDS
                self._wake.clear()
                while await self._publish_waiting():
                    pass
            except (Unavailable, *NATS_AWAY) as error:
                logger.warning("events wait in the outbox", extra={"cause": repr(error)})
                next_check = 0.0
                await asyncio.sleep(0.5)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    async def _check_stream(self) -> None:
        created_at = await self._bus.events_created_at()
        if await outbox.follow_stream(self._database, topology.EVENTS, created_at):
            logger.warning("the event stream was lost: the outbox is published again")

    async def _publish_waiting(self) -> bool:
        """Publish a batch; False when nothing waited."""
        rows = await outbox.waiting(self._database)
        done: list[int] = []
        try:
            for row in rows:
                await self._bus.publish_raw(row["subject"], row["envelope"], row["event_id"])
                done.append(row["position"])
        finally:
            if done:
                await outbox.mark_published(self._database, done)
        return bool(rows)
