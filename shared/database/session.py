"""The one long-lived connection of a process: it hears notifications and holds leases."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from shared.logs import get_logger

logger = get_logger(__name__)

RETRY_SECONDS = 0.25
LEASE_POLL_SECONDS = 0.5
"""How long a standby may take to notice that a lease is free."""

Callback = Callable[[str], None]


class Session:
    """Keeps one connection open, re-opening it for ever, and what hangs on it in order."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
        self._connect = connect
        self._connection: asyncpg.Connection | None = None
        self._callbacks: dict[str, list[Callback]] = defaultdict(list)
        self._lost: set[asyncio.Event] = set()
        self._busy = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._broken = asyncio.Event()

    async def open(self) -> None:
        await self._reconnect()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        if self._keeper:
            self._keeper.cancel()
        self._declare_lost()
        if self._connection:
            with suppress(Exception):
                await self._connection.close(timeout=2)

    async def listen(self, channel: str, callback: Callback) -> None:
        self._callbacks[channel].append(callback)
        async with self._busy:
            if self._connection and not self._connection.is_closed():
                await self._connection.add_listener(channel, self._hear)

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncGenerator[asyncio.Event]:
        key = _lock_key(name)
        while not await self._query("select pg_try_advisory_lock($1)", key):
            await asyncio.sleep(LEASE_POLL_SECONDS)
        lost = asyncio.Event()
        self._lost.add(lost)
        try:
            yield lost
        finally:
            self._lost.discard(lost)
            if not lost.is_set():
                await self._query("select pg_advisory_unlock($1)", key)

    async def _query(self, sql: str, *arguments: Any) -> Any:
        """The query's value, or None when there is no connection at the moment."""
        async with self._busy:
            connection = self._connection
            if connection is None or connection.is_closed():
                return None
            try:
                return await connection.fetchval(sql, *arguments)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                logger.warning("session query failed", extra={"cause": repr(error)})
                self._broken.set()
                return None

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self._broken.wait()
            if self._broken.is_set() or not await self._query("select true"):
                self._declare_lost()
                await self._reconnect()
                self._wake_all()

    async def _reconnect(self) -> None:
        while True:
            try:
                async with self._busy:
                    self._drop()
                    connection = await self._connect()
                    connection.add_termination_listener(lambda _: self._broken.set())
                    for channel in self._callbacks:
                        await connection.add_listener(channel, self._hear)
                    self._connection = connection
                    self._broken.clear()
                    return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)

    def _drop(self) -> None:
        if self._connection and not self._connection.is_closed():
            self._connection.terminate()
        self._connection = None

    def _declare_lost(self) -> None:
        for lost in self._lost:
            lost.set()
        self._lost.clear()

    def _wake_all(self) -> None:
        for callbacks in self._callbacks.values():
            for callback in callbacks:
                callback("")

    def _hear(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        for callback in self._callbacks[channel]:
            callback(str(payload))


def _lock_key(name: str) -> int:
    """Advisory locks are known by a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
