"""The log of one attempt at a build: stored for later, and said to the pusher as it comes."""

import asyncio
from contextlib import suppress

from services.builder import store
from services.builder.store import Build
from shared.bus import Bus
from shared.database import Database
from shared.errors import Unavailable

MOST_LINES = 10_000
MOST_BYTES = 1_000_000
LONGEST_LINE = 2_000
BATCH_SECONDS = 0.05


class BuildLog:
    """`say` never waits; a task of its own carries the lines on."""

    def __init__(self, database: Database, bus: Bus, build: Build) -> None:
        self._database = database
        self._bus = bus
        self._build = build
        self._unsaid: list[str] = []
        self._unwritten: list[str] = []
        self._written = 0
        self._lines = 0
        self._bytes = 0
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()

    def say(self, line: str) -> None:
        """Add a line, unless the log is full."""
        if self._lines > MOST_LINES:
            return
        clean = line.replace("\0", "?")[:LONGEST_LINE]
        self._lines += 1
        self._bytes += len(clean.encode()) + 1
        if self._lines > MOST_LINES or self._bytes > MOST_BYTES:
            self._lines = MOST_LINES + 1
            clean = " !     The log is too long: no more of it is kept"
        self._unsaid.append(clean)
        self._unwritten.append(clean)
        self._wake.set()

    async def carry(self) -> None:
        """Carry lines on until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            with suppress(Unavailable):
                await self.flush()
            await asyncio.sleep(BATCH_SECONDS)

    async def flush(self) -> None:
        """Say and write all there is. Raises `Unavailable` while the database is away."""
        async with self._flushing:
            unsaid, self._unsaid = self._unsaid, []
            for line in unsaid:
                await self._bus.emit_progress(self._build.deploy_id, line)
            while batch := self._unwritten[:500]:
                await store.write_log(self._database, self._build, self._written + 1, batch)
                self._written += len(batch)
                del self._unwritten[: len(batch)]
