"""WebSockets, in numbers: some that echo as fast as they can, many that do nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import cast

import uvloop

from tests.bench.gateway import cores
from tests.bench.gateway.closed import CONNECTIONS, Measured
from tests.bench.report import percentile

PAYLOAD = b"thirty-two bytes, like a message"
MESSAGE = bytes((0x81, 0x80 | len(PAYLOAD))) + bytes(4) + PAYLOAD
ECHO = bytes((0x81, len(PAYLOAD))) + PAYLOAD


class WebSocket(asyncio.Protocol):
    """A client that is opened, and then hands what comes to `heard`."""

    def __init__(self, handshake: bytes) -> None:
        self._handshake = handshake
        self._buffer = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard: Callable[[bytes], None] | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        if self.heard is not None:
            self.heard(data)
            return
        self._buffer += data
        if b"\r\n\r\n" in self._buffer and not self.opened.done():
            if self._buffer.startswith(b"HTTP/1.1 101 "):
                self.opened.set_result(None)
            else:
                self.opened.set_exception(AssertionError(self._buffer[:300]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the proxy closed before its answer"))


async def open_one(port: int, handshake: bytes) -> WebSocket:
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: WebSocket(handshake), "127.0.0.1", port)
    await asyncio.wait_for(socket.opened, 30)
    return socket


async def open_many(port: int, handshakes: Sequence[bytes], count: int) -> list[WebSocket]:
    """Open `count`, some at a time."""
    made: list[WebSocket] = []
    while len(made) < count:
        wave = range(len(made), min(count, len(made) + 100))
        texts = [handshakes[number % len(handshakes)] for number in wave]
        made += await asyncio.gather(*(open_one(port, text) for text in texts))
    return made


class _Talker:
    """Sends a message as soon as the echo of the one before is there."""

    def __init__(self, socket: WebSocket, took: list[float]) -> None:
        self._socket = socket
        self._took = took
        self._left = len(ECHO)
        self.stopping = False
        socket.heard = self.hear

    def say(self) -> None:
        self._began = time.perf_counter()
        self._socket.transport.write(MESSAGE)

    def hear(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left:
            return
        assert data == ECHO[-len(data) :], data
        self._took.append(time.perf_counter() - self._began)
        self._left = len(ECHO)
        if not self.stopping:
            self.say()


def load(port: int, pid: int, handshakes: Sequence[bytes], seconds: float) -> Measured:
    """Echo over 64 WebSockets through the proxy on `port`; its process is `pid`."""
    return uvloop.run(_load(port, pid, handshakes, seconds))


async def _load(port: int, pid: int, handshakes: Sequence[bytes], seconds: float) -> Measured:
    sockets = await open_many(port, handshakes, CONNECTIONS)
    took: list[float] = []
    talkers = [_Talker(socket, took) for socket in sockets]
    before, began = cores.tree_cpu_ns(pid), time.perf_counter()
    for talker in talkers:
        talker.say()
    await asyncio.sleep(seconds)
    spent, lasted = cores.tree_cpu_ns(pid) - before, time.perf_counter() - began
    echoes = list(took)
    for talker in talkers:
        talker.stopping = True
    assert not any(socket.lost for socket in sockets), "the proxy closed a WebSocket"
    for socket in sockets:
        socket.transport.abort()
    return Measured(
        cpu_us=spent / 1000 / len(echoes),
        rps=len(echoes) / lasted,
        p50_ms=percentile(echoes, 50) * 1000,
        p99_ms=percentile(echoes, 99) * 1000,
    )
