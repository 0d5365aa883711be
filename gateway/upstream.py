"""A connection to a target."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from gateway.pools import Pool


class Receiver(Protocol):
    """What a target's connection serves at the moment."""

    def from_target(self, data: bytes) -> None: ...
    def target_lost(self, failed: bool) -> None: ...
    def target_full(self, full: bool) -> None: ...


class TargetConnection(asyncio.Protocol):
    """Hands what arrives to its receiver; without one it is idle in its pool."""

    __slots__ = ("_buffer_limit", "idle_since", "is_open", "pool", "receiver", "transport")

    def __init__(self, pool: Pool, buffer_limit: int) -> None:
        self.pool = pool
        self.receiver: Receiver | None = None
        self.idle_since = 0.0
        self.is_open = False
        self._buffer_limit = buffer_limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=self._buffer_limit)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self.receiver is not None:
            self.receiver.from_target(data)
        elif self.is_open:
            # Nobody asked: whatever this is, it must not become an answer.
            self.pool.forget(self)
            self.abort()

    def eof_received(self) -> bool:
        self.is_open = False
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.target_lost(exc is not None)
        else:
            self.pool.forget(self)

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.target_full(True)

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.target_full(False)

    def close(self) -> None:
        self.is_open = False
        self.transport.close()

    def abort(self) -> None:
        self.is_open = False
        self.transport.abort()

    def pause_reading(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()


async def connect(pool: Pool, seconds: float, buffer_limit: int) -> TargetConnection:
    """A new connection to the pool's address. Raises OSError or TimeoutError."""
    loop = asyncio.get_running_loop()

    def made() -> TargetConnection:
        return TargetConnection(pool, buffer_limit)

    async with asyncio.timeout(seconds):
        if pool.address.startswith("unix:"):
            _, connection = await loop.create_unix_connection(made, pool.address[5:])
        else:
            host, _, port = pool.address.rpartition(":")
            _, connection = await loop.create_connection(made, host.strip("[]"), int(port))
    return connection
