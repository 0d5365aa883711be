"""Which gateways there are: all of them must have drained an instance before it may stop."""

import asyncio
import contextlib
from typing import Any

from services.scheduler import store
from shared.bus import Bus
from shared.database import Database
from shared.errors import Unavailable

NOTE_SECONDS = 1.0
PREFIX = "gateway."


class Gateways:
    """Notes every sign of life of every gateway in the database, for all schedulers."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._seen: set[str] = set()
        self._wake = asyncio.Event()

    async def watch(self) -> None:
        await self._bus.bucket("targets").watch(self._hear)

    async def note(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            seen, self._seen = self._seen, set()
            for gateway in seen:
                with contextlib.suppress(Unavailable):
                    await store.gateway_seen(self._database, gateway)
            await asyncio.sleep(NOTE_SECONDS)

    def _hear(self, key: str, value: dict[str, Any] | None) -> None:
        if value is not None and key.startswith(PREFIX):
            self._seen.add(key.removeprefix(PREFIX))
            self._wake.set()
