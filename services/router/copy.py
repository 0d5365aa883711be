"""Keeps the bucket `routes` equal to the table `routes`.

A notification names an app whose row was committed: its route is written at once. A clock compares
the rest, which heals a bucket that was lost, restored or written by a router that lost its lease.
One router at a time does this; the others stand by.
"""

import asyncio
from contextlib import suppress

from services.router import store
from services.router.routes import Route
from shared.bus import Bucket
from shared.database import Database
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

PARALLEL = 16
RETRY_SECONDS = 0.5


class RoutesCopy:
    """Writes the bucket. `follow` is the duty."""

    def __init__(self, database: Database, bucket: Bucket, clock: float) -> None:
        self._database = database
        self._bucket = bucket
        self._clock = clock
        self._woken: set[str] = set()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._slots = asyncio.Semaphore(PARALLEL)

    async def follow(self) -> None:
        """Run for ever, writing only while the lease is ours."""
        await self._database.listen(store.CHANNEL, self._hear)
        while True:
            async with self._database.lease("routes-copy") as lost:
                await self._lead(lost)

    def _hear(self, app: str) -> None:
        if app:
            self._woken.add(app)
        self._wake.set()

    async def _lead(self, lost: asyncio.Event) -> None:
        tasks = [
            asyncio.create_task(work)
            for work in (self._write_woken(), self._compare_for_ever(), lost.wait())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write_woken(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            apps = set(self._woken)
            self._woken.clear()
            try:
                await self.write(apps)
            except Unavailable as error:
                logger.warning("routes not written", extra={"cause": error.detail})
                self._woken |= apps
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _compare_for_ever(self) -> None:
        while True:
            with suppress(Unavailable):
                await self.compare()
                await store.prune(self._database)
            await asyncio.sleep(self._clock)

    async def write(self, apps: set[str]) -> None:
        """Write these apps' routes as the table has them now.

        Reading and writing under one lock keeps an older row from overtaking a newer one.
        """
        if not apps:
            return
        async with self._writing:
            routes = await store.routes_of(self._database, apps)
            await asyncio.gather(*(self._put(app, route) for app, route in routes.items()))

    async def compare(self) -> None:
        """Put right what is missing, different or left over in the bucket."""
        routes = await store.routes(self._database)
        held = await self._bucket.items()
        wrong = {app for app in routes.keys() | held.keys() if routes.get(app) != held.get(app)}
        if wrong:
            logger.info("routes put right", extra={"apps": len(wrong)})
            await self.write(wrong)

    async def _put(self, app: str, route: Route | None) -> None:
        async with self._slots:
            if route is None:
                await self._bucket.delete(app)
            else:
                await self._bucket.put(app, route)
