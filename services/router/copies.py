"""Which bucket of this service is a copy of what."""

from functools import partial

from services.router import store
from shared.bus import Bus
from shared.bus.copies import Copy
from shared.database import Database


def copies(database: Database, bus: Bus) -> list[Copy]:
    """The routes that the gateways read."""
    return [Copy(bus.bucket("routes"), partial(store.routes, database))]
