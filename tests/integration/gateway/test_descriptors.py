"""A worker that has no descriptor left: what is open goes on, and what was refused comes later."""

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.control import ask_siblings
from tests.integration.gateway import fleet as fleets
from tests.integration.gateway import streams
from tests.integration.gateway.fleet import Fleet, WebSocket, fetch, free_port
from tests.integration.gateway.measures import busy_seconds, descriptors, steady
from tests.integration.gateway.streams import Door, dialled
from tests.integration.gateway.test_tls import SecureFleet

LEFT = 20
"""So many connections a worker can still accept."""
CROWD = 5 * LEFT
FULL_SECONDS = 2.0
ANSWER_SECONDS = 5.0
MOST_BUSY = 0.5
"""Of one core; a loop that only finds out again and again that there is no descriptor takes all."""


class OverTls(SecureFleet):
    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self.connect_tls("localhost")

    @property
    def front(self) -> int:
        return self.tls_port


class Plain(Fleet):
    @property
    def front(self) -> int:
        return self.port


@contextlib.asynccontextmanager
async def _running(fleet: Fleet) -> AsyncIterator[int]:
    """The pid of its only worker."""
    try:
        await fleet.start(workers=1)
        (worker,) = fleet.living.values()
        await steady(lambda: len(descriptors(worker)))
        yield worker
    finally:
        fleet.end()


@pytest_asyncio.fixture
async def backend() -> AsyncIterator[str]:
    async with fleets.backend() as address:
        yield address


@contextlib.contextmanager
def _limit(worker: int, most: int) -> Iterator[None]:
    """Descriptors from `most` on cannot be had."""
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))


def _first_free(worker: int) -> int:
    taken = descriptors(worker)
    return next(number for number in range(len(taken) + 1) if number not in taken)


@contextlib.contextmanager
def _crowd(port: int) -> Iterator[None]:
    """More connections than can be accepted; they say nothing."""
    members = [socket.socket() for _ in range(CROWD)]
    try:
        for one in members:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield
    finally:
        for one in members:
            one.close()


class Open:
    """What was there before: a kept connection, a WebSocket and a download under way."""

    def __init__(self, fleet: Any) -> None:
        self._fleet = fleet

    async def begin(self) -> None:
        self._kept = await self._fleet.connect()
        self._socket = await WebSocket.open(self._fleet)
        self._carrier = await self._fleet.connect()
        self._download = asyncio.create_task(fetch(*self._carrier, f"/a/slow?{FULL_SECONDS + 1}"))
        await self.go_on()

    async def go_on(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            head, body = await fetch(*self._kept, "/a/")
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert body == b"ok"
            assert await self._socket.echo(b"still there")

    async def end(self) -> None:
        head, body = await asyncio.wait_for(self._download, 30)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert len(body) == int(FULL_SECONDS + 1) * 20 * 10_000
        for _, writer in (self._kept, self._carrier):
            writer.close()
        self._socket.writer.close()


@pytest.mark.parametrize("make", [Plain, OverTls])
async def test_what_is_open_goes_on_and_the_next_is_accepted_later(
    tmp_path: Path, backend: str, make: Any
) -> None:
    fleet = make(tmp_path, backend)
    async with _running(fleet) as worker:
        there = Open(fleet)
        await there.begin()
        most = max(descriptors(worker)) + 1 + LEFT
        with _limit(worker, most):
            with _crowd(fleet.front):
                await _until_full(worker, most, there)
                await _stay_full(worker, there)
            await there.end()
            # The limit is as it was: those who held what there was are gone.
            assert await asyncio.wait_for(_soon(fleet), 20) == b"ok"
        assert list(fleet.living.values()) == [worker], "another worker had to be started"


async def _until_full(worker: int, most: int, there: Open) -> None:
    """Asking meanwhile, so that the gateway keeps its connection to the app: it could not make
    another one."""
    async with asyncio.timeout(ANSWER_SECONDS * 4):
        while _first_free(worker) < most:
            await there.go_on()
            await asyncio.sleep(0.05)


async def _stay_full(worker: int, there: Open) -> None:
    began, before = time.monotonic(), busy_seconds(worker)
    while time.monotonic() - began < FULL_SECONDS:
        await there.go_on()
        await asyncio.sleep(0.1)
    busy = (busy_seconds(worker) - before) / (time.monotonic() - began)
    print(f"{busy:.0%} of a core")
    assert busy < MOST_BUSY


async def _soon(fleet: Fleet) -> bytes:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            return await fleet.get()
        await asyncio.sleep(0.1)


async def test_siblings_that_ask_meanwhile_do_no_harm(tmp_path: Path, backend: str) -> None:
    fleet = Plain(tmp_path, backend)
    async with _running(fleet) as worker:
        reader, writer = await fleet.connect()
        await fetch(reader, writer, "/a/")
        with _limit(worker, _first_free(worker)):
            assert await ask_siblings(fleet.folder, 0.5) == []
            # It would have begun to end: a connection that is kept is told so.
            async with asyncio.timeout(ANSWER_SECONDS):
                head, _ = await fetch(reader, writer, "/a/")
            assert b"Connection: close" not in head
        async with asyncio.timeout(20):
            while len(await ask_siblings(fleet.folder, 0.5)) != 1:
                await asyncio.sleep(0.1)
        assert list(fleet.living.values()) == [worker], "another worker had to be started"
        writer.close()


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_a_request_that_needs_a_descriptor_for_its_app_is_answered(
    tmp_path: Path, left: int
) -> None:
    """Whatever there is left, it is told at once, and the app is not blamed for long."""
    door = Door(free_port())
    fleet = Plain(tmp_path, door.address)
    async with _running(fleet) as worker:
        with dialled(fleet.port) as client, contextlib.closing(door):
            answering = asyncio.create_task(asyncio.to_thread(_answer, door, 2))
            assert await _ask(client) == 200
            await steady(lambda: len(descriptors(worker)))
            with _limit(worker, _first_free(worker) + left):
                status = await _ask(client)
            print(f"{left} left: {status}")
            assert status == 200 if left > 1 else status in (200, 502, 503)
            if status != 200:
                async with asyncio.timeout(ANSWER_SECONDS):
                    while await _ask(client) != 200:
                        await asyncio.sleep(0.1)
            await answering


def _answer(door: Door, times: int) -> None:
    """Each on a connection of its own."""
    for _ in range(times):
        with door.next() as app:
            streams.until_blank_line(app)
            app.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


async def _ask(client: socket.socket) -> int:
    """The status of one more answer on this connection."""
    client.settimeout(ANSWER_SECONDS)
    client.sendall(b"GET /a/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await asyncio.to_thread(streams.until_blank_line, client)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while length:
        length -= len(await asyncio.to_thread(client.recv, length))
    return int(head.split(b" ")[1])


async def test_an_app_that_breaks_off_is_told_of_without_a_descriptor(tmp_path: Path) -> None:
    """Whether it has seen the request is asked of the kernel, which must cost none."""
    door = Door(free_port())
    fleet = Plain(tmp_path, door.address)
    async with _running(fleet) as worker:
        with dialled(fleet.port) as client, contextlib.closing(door):
            asked = asyncio.create_task(_ask(client))
            app = await asyncio.to_thread(door.next)
            await asyncio.to_thread(streams.until_blank_line, app)
            app.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert await asked == 200
            with _limit(worker, 3):
                asked = asyncio.create_task(_ask(client))
                await asyncio.to_thread(streams.until_blank_line, app)
                app.close()
                assert await asked == 502
        assert list(fleet.living.values()) == [worker]
