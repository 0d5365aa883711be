"""Which gateways there are: all of them must have drained an instance before it may stop.

Each worker process of a gateway counts by itself, under a name that is never used again. Its entry
on the bus names siblings that have ended (`gone`, as their parent saw them end): these, and no
others, are forgotten at once. One that is merely silent may still route by what it knew.
"""

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
MOST_FORGOTTEN = 1000
"""Names that are remembered to be gone: far more than are told at a time."""


class Gateways:
    """Notes every sign of life of every gateway in the database, for all schedulers."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._known: set[str] = set()
        self._seen: set[str] = set()
        self._gone: set[str] = set()
        self._forgotten: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._heard = self._since = time.monotonic()

    @property
    def sure(self) -> bool:
        """Has the bus been heard without a pause for as long as a gateway may be silent?"""
        now = time.monotonic()
        heard_on = now - self._heard < SILENCE_SECONDS
        return heard_on and now - self._since > store.FORGET_GATEWAY_SECONDS

    async def watch(self) -> None:
        await self._bus.bucket("targets").watch(self.hear)

    async def note(self) -> None:
        """Write down what was heard, for ever: once a second, and at once who has come or gone."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._hurry.clear()
            with contextlib.suppress(Unavailable):
                await self._write()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NOTE_SECONDS):
                    await self._hurry.wait()

    async def _write(self) -> None:
        seen, self._seen = self._seen, set()
        for gateway in seen - self._gone:
            await store.gateway_seen(self._database, gateway)
        if gone := sorted(self._gone):
            await store.forget_gateways(self._database, gone)
            self._gone.difference_update(gone)
            self._forgotten.update(dict.fromkeys(gone))
            for name in list(self._forgotten)[:-MOST_FORGOTTEN]:
                del self._forgotten[name]

    def hear(self, key: str, value: dict[str, Any] | None) -> None:
        """An entry of the bucket `targets`; that one expired proves nothing."""
        now = time.monotonic()
        if now - self._heard > SILENCE_SECONDS:
            self._since = now
        self._heard = now
        if value is not None and key.startswith(PREFIX):
            self._take_gone(value.get("gone"))
            self._take_living(key.removeprefix(PREFIX))

    def _take_living(self, gateway: str) -> None:
        if gateway in self._gone or gateway in self._forgotten:
            return  # its last entry has not expired yet
        if gateway not in self._known:
            self._known.add(gateway)
            self._hurry.set()
        self._seen.add(gateway)
        self._wake.set()

    def _take_gone(self, names: Any) -> None:
        said = names if isinstance(names, list) else []
        gone = {name for name in said if isinstance(name, str)} - self._forgotten.keys()
        if gone:
            self._known -= gone
            self._gone |= gone
            self._wake.set()
            self._hurry.set()
