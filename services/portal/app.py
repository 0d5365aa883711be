"""Where the portal's parts meet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from services.portal import store
from services.portal.api import Rooms, application
from services.portal.apps import Apps
from services.portal.handlers import ANSWERS, HANDLERS
from services.portal.links import Links
from services.portal.page import STATIC, page, static_files
from services.portal.presence import Presence
from services.portal.settings import PortalSettings
from services.portal.states import States
from shared.database import Database
from shared.errors import Unavailable
from shared.identity import Callers
from shared.process import Ground, Service

PRUNE_SECONDS = 3600.0


@asynccontextmanager
async def build(ground: Ground) -> AsyncIterator[Service]:
    """The portal: API, page, and the handlers that fill the activity feed."""
    settings: PortalSettings = ground.settings
    rooms = Rooms(
        database=ground.database,
        bus=ground.bus,
        apps=Apps(ground.database),
        states=States(ground.bus.bucket("routes")),
        presence=Presence(ground.bus.bucket("targets")),
        links=Links(settings.public_url.rstrip("/")),
        openapi_file=settings.openapi_file,
    )
    callers = Callers(ground.bus.bucket("signing-keys"))
    api = application(rooms, callers)
    api.include_router(page(rooms, callers))
    api.mount(STATIC, static_files())

    async def forget_old_activity() -> None:
        await prune_for_ever(ground.database, settings.activity_days)

    yield Service(
        parts=rooms.apps,
        api=api,
        handlers=HANDLERS,
        rpcs=ANSWERS,
        duties=[callers.watch, rooms.states.watch, forget_old_activity],
    )


async def prune_for_ever(database: Database, days: int) -> None:
    """Drop activity older than `days`, once an hour."""
    while True:
        with suppress(Unavailable):
            await store.prune_activity(database, days)
        await asyncio.sleep(PRUNE_SECONDS)
