"""A thousand clients that dawdle, in each of the three ways: others notice nothing."""

import asyncio
import contextlib
import resource
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway import large
from tests.integration.gateway.fleet import fetch, free_port, until
from tests.integration.gateway.hurried import Hurried
from tests.integration.gateway.measures import MEGABYTE, descriptors, memory

CROWD = 1000
GROUP = 50
"""So many of them come at once."""
ANSWER_SECONDS = 5.0
"""Within which everybody else has each answer, while the machine is busy with the crowd."""
LIMITS = {
    "head_seconds": 5.0,
    "body_seconds": 5.0,
    "stalled_seconds": 8.0,
    "linger_seconds": 1.0,
    "closing_seconds": 3.0,
}
STEP_SECONDS = 0.5
LARGE = 6 * MEGABYTE
"""More than the gateway and all buffers of the kernel on the way hold of one answer."""
MOST_HELD = MEGABYTE
"""Of one answer, in the gateway: a full buffer, and what arrived at once on top of it."""
TCP_CLOSE = 7
"""A connection's state once it has been reset, in include/net/tcp_states.h."""


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    """For the crowd's ends of its connections, and the app's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8 * CROWD if hard == resource.RLIM_INFINITY else min(hard, 8 * CROWD)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- apps


class Single(HTTPServer):
    """One thread, one request at a time, like the simplest servers that apps are run by."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), _Answer)
        self.posts: list[bytes] = []
        self.failures: list[BaseException | None] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, ConnectionError):  # somebody has left, as people do
            self.failures.append(error)


class _Answer(BaseHTTPRequestHandler):
    server: Single

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        length = self.headers["Content-Length"]
        # The first chunk, where content is chunked.
        size = int(self.rfile.readline(), 16) if length is None else int(length)
        self.server.posts.append(self.rfile.read(size))
        self._answer()

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Nothing is said."""


@pytest.fixture
def single() -> Iterator[Single]:
    server = Single()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
    assert server.failures == []


@contextlib.asynccontextmanager
async def _running(fleet: Hurried) -> AsyncIterator[Hurried]:
    try:
        await fleet.start()
        yield fleet
    finally:
        fleet.end()


# -- clients


class Slow(asyncio.Protocol):
    """A client of the crowd: what it has got, and how its connection ended."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.got = b""
        self.size = 0
        self.ended_by_gateway = False
        self.lost = False
        self.error: Exception | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        self.got = (self.got + data)[:4096]

    def eof_received(self) -> bool:
        self.ended_by_gateway = True
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.lost, self.error = True, error

    @property
    def is_reset(self) -> bool:
        """Known to the kernel before anything is read."""
        return self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE


class Crowd:
    """A thousand of them; `close` leaves nothing behind."""

    def __init__(self, port: int, reads: bool = True) -> None:
        self._port, self._reads = port, reads
        self.members: list[Slow] = []

    async def come(self, first: bytes, others: "Others") -> None:
        """Connect and send the first bytes; one group when the others have got another answer, so
        that it is not the machine that is too small for all at once."""
        for _ in range(CROWD // GROUP):
            group = await asyncio.gather(*(self._connect() for _ in range(GROUP)))
            for one in group:
                if not self._reads:
                    one.transport.pause_reading()
                one.transport.write(first)
            self.members += group
            answered = others.answered
            await until(lambda: others.answered > answered + 1 or others.failures)

    async def _connect(self) -> Slow:
        sock = socket.socket()
        sock.setblocking(False)
        # As of clients that come over a real network: on this machine alone packets are so large
        # that the kernel would take megabytes of what is not read.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self._port))
        return (await loop.create_connection(lambda: Slow(sock), sock=sock))[1]

    async def trickle(self, byte_at: Callable[[int], bytes]) -> None:
        """Send a byte now and then on every connection that is open."""
        step = 0
        while True:
            for one in self.members:
                if not one.lost:
                    one.transport.write(byte_at(step))
            step += 1
            await asyncio.sleep(STEP_SECONDS)

    def close(self) -> None:
        for one in self.members:
            one.transport.abort()


@contextlib.asynccontextmanager
async def _crowd(port: int, reads: bool = True) -> AsyncIterator[Crowd]:
    crowd = Crowd(port, reads)
    try:
        yield crowd
    finally:
        crowd.close()


class Others:
    """Well-behaved clients: one keeps its connection, one makes a new one for each request."""

    def __init__(self, fleet: Hurried, patience: float = ANSWER_SECONDS) -> None:
        self._fleet, self._patience = fleet, patience
        self._ending = False
        self.slowest = 0.0
        self.answered = 0
        self.failures: list[str] = []

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._ask(keep)) for keep in (True, False)]
        try:
            yield
        finally:
            self._ending = True
            await asyncio.gather(*tasks)

    async def _ask(self, keep: bool) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._ending:
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._patience):
                    connection = connection or await self._fleet.connect()
                    head, body = await fetch(*connection, "/a/", close=not keep)
            except (OSError, asyncio.IncompleteReadError) as error:
                head, body = repr(error).encode(), b""
            self.slowest = max(self.slowest, time.monotonic() - began)
            if head.startswith(b"HTTP/1.1 200 ") and body == b"ok":
                self.answered += 1
            else:
                self.failures.append(f"kept={keep}: {head!r}")
            if connection and (not keep or body != b"ok"):
                connection[1].close()
                connection = None
            await asyncio.sleep(0.02)
        if connection:
            connection[1].close()

    def noticed_nothing(self) -> None:
        print(f"{self.answered} answers, the slowest after {self.slowest:.2f} s")
        assert self.failures == [], f"{len(self.failures)}, first {self.failures[0]}"
        assert self.answered > 50


@contextlib.asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_all_told(fleet: Hurried, crowd: Crowd, status: bytes) -> None:
    """Everybody has got this answer, whole, and the gateway has ended the connection."""
    await until(lambda: all(one.ended_by_gateway or one.lost for one in crowd.members), 20)
    heads = {one.got.partition(b"\r\n")[0] for one in crowd.members}
    assert {head.split(b" ")[1] for head in heads} == {status}, heads
    assert all(b"Connection: close\r\n" in one.got for one in crowd.members)
    await until(lambda: len(descriptors(fleet.pid)) < CROWD / 10, 15)


HEAD = b"GET /a/ HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 1000
POST = b"POST /a/ HTTP/1.1\r\nHost: localhost\r\n"
SMALL = b"Content-Length: 60000\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\nea60\r\n"


async def test_heads_that_come_a_byte_at_a_time(tmp_path: Path, single: Single) -> None:
    fleet = Hurried(tmp_path, f"127.0.0.1:{single.server_port}", LIMITS)
    others = Others(fleet)
    async with _running(fleet), others.asking(), _crowd(fleet.port) as crowd:
        await crowd.come(HEAD[:1], others)
        assert len(descriptors(fleet.pid)) > CROWD
        answered = others.answered
        async with _beside(crowd.trickle(lambda step: HEAD[step + 1 : step + 2])):
            await _until_all_told(fleet, crowd, b"408")
        assert others.answered > answered
    others.noticed_nothing()


async def test_small_bodies_that_trickle(tmp_path: Path, single: Single) -> None:
    """None of them has reached the app, so they are not among what it may have under way."""
    fleet = Hurried(tmp_path, f"127.0.0.1:{single.server_port}", LIMITS)
    others = Others(fleet)
    async with _running(fleet), others.asking(), _crowd(fleet.port) as crowd:
        await crowd.come(POST + SMALL, others)
        assert len(descriptors(fleet.pid)) > CROWD
        answered = others.answered
        async with _beside(crowd.trickle(lambda _: b"x")):
            await _until_all_told(fleet, crowd, b"408")
        assert others.answered > answered
        assert single.posts == []
    others.noticed_nothing()


async def test_a_small_body_does_not_keep_the_only_thread_of_an_app(
    tmp_path: Path, single: Single
) -> None:
    fleet = Hurried(tmp_path, f"127.0.0.1:{single.server_port}", {})
    async with _running(fleet):
        _, slow = await fleet.connect()
        slow.write(POST + SMALL + b"x")
        others = Others(fleet, patience=2.0)
        async with others.asking():
            await until(lambda: others.answered > 50 or others.failures)
        slow.close()
    others.noticed_nothing()


@pytest.mark.parametrize("framing", [CHUNKED, b"Expect: 100-continue\r\n" + SMALL])
async def test_what_may_be_a_stream_is_passed_on_as_it_comes(
    tmp_path: Path, single: Single, framing: bytes
) -> None:
    """Its price: a slow client keeps a thread of the app with it."""
    fleet = Hurried(tmp_path, f"127.0.0.1:{single.server_port}", {})
    async with _running(fleet):
        _, slow = await fleet.connect()
        slow.write(POST + framing + b"x")
        others = Others(fleet, patience=2.0)
        async with others.asking():
            await until(lambda: others.failures)
        slow.close()


async def test_large_answers_that_nobody_reads(tmp_path: Path) -> None:
    with large.running(free_port(), LARGE) as backend:
        await _leave_unread(Hurried(tmp_path, backend, LIMITS))


async def _leave_unread(fleet: Hurried) -> None:
    others = Others(fleet)
    async with _running(fleet), others.asking(), _crowd(fleet.port, reads=False) as crowd:
        before = memory(fleet.pid)
        await crowd.come(b"GET /a/large HTTP/1.1\r\nHost: localhost\r\n\r\n", others)
        await until(lambda: len(descriptors(fleet.pid)) > 2 * CROWD)
        answered = others.answered
        cost = (await _memory_until_cut_off(fleet, crowd) - before) / CROWD
        assert others.answered > answered
        await _read_what_is_left(crowd)
        await until(lambda: len(descriptors(fleet.pid)) < CROWD / 10)
    print(f"{cost / 1024:.0f} KB for what one does not read")
    others.noticed_nothing()
    assert cost < MOST_HELD


async def _memory_until_cut_off(fleet: Hurried, crowd: Crowd) -> int:
    """The most that the gateway takes until nobody is left."""
    most, end = 0, time.monotonic() + 40
    while not all(one.is_reset for one in crowd.members):
        assert time.monotonic() < end, "they are not cut off"
        most = max(most, memory(fleet.pid))
        await asyncio.sleep(0.1)
    return most


async def _read_what_is_left(crowd: Crowd) -> None:
    """What is in their machine's buffers is not the whole, and does not look so."""
    for one in crowd.members:
        one.transport.resume_reading()
    await until(lambda: all(one.lost for one in crowd.members))
    assert all(isinstance(one.error, ConnectionResetError) for one in crowd.members)
    assert all(one.size < LARGE for one in crowd.members)
