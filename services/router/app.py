"""Where the router's parts meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.router.copy import RoutesCopy
from services.router.handlers import HANDLERS
from shared.process import Ground, Service


@asynccontextmanager
async def build(ground: Ground) -> AsyncIterator[Service]:
    """The router: handlers that write the table, a duty that copies it into the bucket."""
    copy = RoutesCopy(
        ground.database,
        ground.bus.bucket("routes"),
        ground.settings.router_compare_seconds,
    )
    yield Service(parts=None, api=None, handlers=HANDLERS, rpcs={}, duties=[copy.follow])
