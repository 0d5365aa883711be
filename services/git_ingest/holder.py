"""This process as a holder of open pushes: says that it lives, ends its pushes, rescues others'."""

import asyncio

from services.git_ingest import store
from services.git_ingest.cancels import publish_cancelled
from shared.database import Database
from shared.errors import Unavailable
from shared.logs import get_logger
from shared.names import new_id

logger = get_logger(__name__)

BEAT_SECONDS = 3.0


class Holder:
    """One life of one process; `id` is never used again."""

    def __init__(self, database: Database) -> None:
        self.id = new_id()
        self._database = database
        self._unended: set[str] = set()

    async def end(self, deploy_id: str) -> None:
        """The push's git process is gone. Kept and tried again while the database is away."""
        self._unended.add(deploy_id)
        try:
            await self._end(deploy_id)
        except Unavailable:
            logger.warning("a push could not be ended yet", extra={"deploy_id": deploy_id})

    async def beat_for_ever(self) -> None:
        """Beat first, so that after an outage our own pushes are not taken for a dead process's."""
        while True:
            try:
                await self.beat()
            except Unavailable:
                logger.warning("the database is away")
            await asyncio.sleep(BEAT_SECONDS)

    async def beat(self) -> None:
        """Say that we live; end what is to be ended; cancel the pushes of holders that died."""
        await store.beat(self._database, self.id)
        for deploy_id in tuple(self._unended):
            await self._end(deploy_id)
        async with self._database.transaction() as tx:
            for orphan in await store.cancel_orphans(tx):
                await publish_cancelled(tx, orphan, "disconnected")

    async def retire(self) -> None:
        """This process holds nothing any more."""
        await store.retire_holder(self._database, self.id)

    async def _end(self, deploy_id: str) -> None:
        async with self._database.transaction() as tx:
            for cancelled in await store.cancel_push(tx, deploy_id, "disconnected"):
                await publish_cancelled(tx, cancelled, "disconnected")
            await store.end_push(tx, deploy_id)
        self._unended.discard(deploy_id)
