"""A connection to a target."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from gateway.bodies import Piece
from gateway.pools import Pool
from gateway.recognition import is_itself

if TYPE_CHECKING:
    from gateway.gate import Limits

_TCP_INFO_BYTES = 128
_BYTES_ACKED = slice(120, 128)  # tcpi_bytes_acked, struct tcp_info in linux/tcp.h


class Receiver(Protocol):
    """What a target's connection serves at the moment."""

    def from_target(self, data: bytes) -> None: ...
    def target_lost(self, failed: bool) -> None: ...
    def target_full(self, full: bool) -> None: ...


class TargetConnection(asyncio.Protocol):
    """Hands what arrives to its receiver; without one it is idle in its pool."""

    __slots__ = (
        "_limits",
        "_probe",
        "idle_since",
        "is_open",
        "paused",
        "pool",
        "receiver",
        "sent",
        "transport",
    )

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self.pool = pool
        self.receiver: Receiver | None = None
        self.idle_since = 0.0
        self.is_open = False
        self.paused = False
        self.sent = 0
        """Bytes written so far, of requests."""
        self._probe = -1
        self._limits = limits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=self._limits.buffer)
        self.is_open = True
        carrier = transport.get_extra_info("socket")
        if carrier is not None and carrier.family in (socket.AF_INET, socket.AF_INET6):
            # Outlives the transport, which closes its own before it says that it is lost.
            with contextlib.suppress(OSError):  # no descriptor is left: it goes without
                self._probe = os.dup(carrier.fileno())

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
        try:
            if receiver is not None:
                receiver.target_lost(exc is not None)
            else:
                self.pool.forget(self)
        finally:
            self.forget_probe()

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.target_full(True)

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.target_full(False)

    def write(self, data: Piece) -> None:
        """Send a piece of a request."""
        self.sent += len(data)
        self.transport.write(data)

    def write_all(self, pieces: Sequence[Piece]) -> None:
        """Send pieces of a request, one behind the other."""
        self.sent += sum(map(len, pieces))
        self.transport.writelines(pieces)

    def nothing_arrived_since(self, mark: int) -> bool:
        """Is it certain that the target's machine took in nothing of what was written after `sent`
        was `mark`? To be asked in `target_lost`; of a unix socket nobody can say."""
        if self._probe < 0:
            return False
        try:
            copy = socket.socket(fileno=self._probe)
        except OSError:
            return False
        try:
            info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            return False
        finally:
            copy.detach()
        acknowledged = int.from_bytes(info[_BYTES_ACKED], "little")
        # The connection's first packet counts as a byte.
        return len(info) == _TCP_INFO_BYTES and acknowledged - 1 <= mark

    def forget_probe(self) -> None:
        """There will be nothing to ask: give back the descriptor."""
        probe, self._probe = self._probe, -1
        if probe >= 0:
            os.close(probe)

    def close(self) -> None:
        """Close when everything written is taken; a target that does not take it is cut off."""
        self.is_open = False
        self.forget_probe()
        if not self.transport.is_closing() and self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(
                self._limits.closing_seconds, self.transport.abort
            )
        self.transport.close()

    def abort(self) -> None:
        self.is_open = False
        self.forget_probe()
        self.transport.abort()

    def pause_reading(self) -> None:
        if not self.paused and not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.paused and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()


class Unrecognised(Exception):
    """The address answers, but what answers there is not the target."""


async def connect(pool: Pool, limits: Limits) -> TargetConnection:
    """A new connection to the pool's address. Raises OSError, TimeoutError or Unrecognised."""
    loop = asyncio.get_running_loop()

    def made() -> TargetConnection:
        return TargetConnection(pool, limits)

    async with asyncio.timeout(limits.connect_seconds):
        if pool.address.startswith("unix:"):
            _, connection = await loop.create_unix_connection(made, pool.address[5:])
        else:
            host, _, port = pool.address.rpartition(":")
            _, connection = await loop.create_connection(made, host.strip("[]"), int(port))
    if not is_itself(pool.proof):
        connection.abort()
        raise Unrecognised(pool.key)
    return connection
