"""Finishes what was cut short: changes between store and database, removals, versions unexplained.

One process at a time does this, woken by a deletion and by a clock.
"""

import asyncio
import time
from contextlib import suppress

from services.secrets import store
from services.secrets.announcing import announce
from services.secrets.documents import Documents
from services.secrets.removals import Removals
from shared.database import Database
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

CUT_SHORT_SECONDS = 30.0
"""An intent so old belongs to no request any more: longer than the store's time-outs together."""

COMPARE_SECONDS = 600.0


class Repair:
    """`watch` is the duty."""

    def __init__(
        self,
        database: Database,
        documents: Documents,
        removals: Removals,
        clock: float,
        cut_short: float = CUT_SHORT_SECONDS,
    ) -> None:
        self._database = database
        self._documents = documents
        self._removals = removals
        self._clock = clock
        self._cut_short = cut_short
        self._wake = asyncio.Event()
        self._compared = float("-inf")

    async def watch(self) -> None:
        """Run for ever, working only while the lease is ours."""
        await self._database.listen(store.CHANNEL, lambda _: self._wake.set())
        while True:
            async with self._database.lease("repair") as lost:
                while not lost.is_set():
                    await self._try()
                    await self._pause()

    async def run(self) -> None:
        """Finish everything that can be finished now. Raises `Unavailable`."""
        await self._removals.finish_all()
        for intent in await store.unfinished(self._database, self._cut_short):
            await self._finish(intent["id"], intent["app"], intent["version"])
        if time.monotonic() - self._compared >= COMPARE_SECONDS:
            await self.compare()
            self._compared = time.monotonic()

    async def compare(self) -> None:
        """Announce versions that the store has and the table lacks (a restored database)."""
        for app, known in (await store.latest(self._database)).items():
            found = await self._documents.version(app)
            if found > known:
                async with self._database.transaction() as tx:
                    await announce(tx, await store.adopt(tx, app, found, [], "unknown"))
            elif found < known:
                logger.warning(
                    "the secret store is older than what was announced; was it restored?",
                    extra={"app": app, "found": found, "announced": known},
                )

    async def _try(self) -> None:
        try:
            await self.run()
        except Unavailable as error:
            logger.warning("repair waits", extra={"cause": error.detail})

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._clock):
                await self._wake.wait()
        self._wake.clear()

    async def _finish(self, intent: str, app: str, version: int) -> None:
        if await self._documents.version(app) < version:
            await store.forget_intent(self._database, intent)
            return
        async with self._database.transaction() as tx:
            await announce(tx, await store.complete(tx, intent))
        logger.info("a change cut short was finished", extra={"app": app, "version": version})
