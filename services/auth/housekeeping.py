"""Forgets what nobody needs any more."""

import asyncio
from contextlib import suppress

from services.auth import store
from services.auth.attempts import Attempts
from shared.database import Database
from shared.errors import Unavailable

CLOCK_SECONDS = 600.0


async def keep_house(database: Database, attempts: Attempts) -> None:
    """The duty. Several processes may do it at once; deleting twice does no harm."""
    while True:
        with suppress(Unavailable):
            await attempts.prune()
            await store.prune_tokens(database)
            await store.prune_ended_sessions(database)
        await asyncio.sleep(CLOCK_SECONDS)
