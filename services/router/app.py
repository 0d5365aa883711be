"""Where the router's parts meet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from services.router import store
from services.router.api import application
from services.router.copies import copies
from services.router.handlers import HANDLERS
from services.router.settings import RouterSettings
from services.router.traffic import Traffic, platform_of
from shared.bus.copies import Copies
from shared.database import Database
from shared.errors import Unavailable
from shared.identity import Callers
from shared.process import Ground, Service

PRUNE_SECONDS = 3600.0


@asynccontextmanager
async def build(ground: Ground) -> AsyncIterator[Service]:
    """The router: handlers and an API that write its tables, a duty that copies them."""
    settings: RouterSettings = ground.settings
    copied = Copies(
        ground.database,
        store.CHANNEL,
        copies(ground.database, ground.bus),
        ground.bus.ensure_topology,
        settings.router_compare_seconds,
    )
    ground.bus.on_reconnect(copied.compare_soon)
    callers = Callers(ground.bus.bucket("signing-keys"))
    yield Service(
        api=application(Traffic(ground.database, platform_of(settings)), callers),
        handlers=HANDLERS,
        duties=[copied.follow, callers.watch, partial(forget_deleted, ground.database)],
    )


async def forget_deleted(database: Database) -> None:
    """Drop what is left of apps that were deleted long ago, once an hour."""
    while True:
        with suppress(Unavailable):
            await store.prune(database)
        await asyncio.sleep(PRUNE_SECONDS)
