"""Which gateways there are: all of them must have drained an instance before it may stop."""

import asyncio
import contextlib
import time
from typing import Any

from services.scheduler import store
from shared.bus import Bus
from shared.database import Database
from shared.errors import Unavailable

NOTE_SECONDS = 1.0
PREFIX = "gateway."
SILENCE_SECONDS = 15.0
"""Every process, this one too, says every 5 s that it lives: after this it is we who are deaf."""


class Gateways:
    """Notes every sign of life of every gateway in the database, for all schedulers."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._seen: set[str] = set()
        self._wake = asyncio.Event()
        self._heard = self._since = time.monotonic()

    @property
    def sure(self) -> bool:
        """Has the bus been heard without a pause for as long as a gateway may be silent?"""
        now = time.monotonic()
        heard_on = now - self._heard < SILENCE_SECONDS
        return heard_on and now - self._since > store.FORGET_GATEWAY_SECONDS

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
        now = time.monotonic()
        if now - self._heard > SILENCE_SECONDS:
            self._since = now
        self._heard = now
        if value is not None and key.startswith(PREFIX):
            self._seen.add(key.removeprefix(PREFIX))
            self._wake.set()
