"""Large contents in both directions: whoever cannot go on stops the other side, at bounded cost."""

import asyncio
import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway import streams
from tests.integration.gateway.fleet import Fleet, free_port, until
from tests.integration.gateway.hurried import Hurried
from tests.integration.gateway.measures import MEGABYTE, descriptors, memory, steady
from tests.integration.gateway.streams import Door, Read, Sink, Source, Wire, dialled
from tests.integration.gateway.test_tls import SecureFleet, unchecking

TOTAL = 512 * MEGABYTE
MOST_GROWTH = 16 * MEGABYTE
MOST_UNDER_WAY = 32 * MEGABYTE
"""In the gateway's buffers and those of the kernel, of two connections."""

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def post(length: int | None = None) -> bytes:
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"POST /a/ HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % framing


def get(more: bytes = b"") -> bytes:
    return b"GET /a/ HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % more


@pytest.fixture(scope="module")
def lasting_door() -> Iterator[Door]:
    made = Door(free_port())
    yield made
    made.close()


@pytest.fixture
def door(lasting_door: Door) -> Iterator[Door]:
    """The app."""
    yield lasting_door
    lasting_door.dismiss()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, lasting_door: Door) -> Iterator[Fleet]:
    """Processes, which know nothing of a test's loop: all tests can have the same ones."""
    yield from _lasting(Fleet(tmp_path_factory.mktemp("plain"), lasting_door.address))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, lasting_door: Door) -> Iterator[SecureFleet]:
    yield from _lasting(SecureFleet(tmp_path_factory.mktemp("secure"), lasting_door.address))


def _lasting(fleet: Any) -> Iterator[Any]:
    try:
        asyncio.run(fleet.start(workers=1))
        yield fleet
    finally:
        fleet.end()


async def _begun(client: socket.socket, door: Door, head: bytes) -> socket.socket:
    """Send a request's head; the app's end, where nothing has been read yet."""
    client.sendall(head)
    return await asyncio.to_thread(door.next)


async def _warm(client: socket.socket, door: Door) -> None:
    """One small exchange, so that what the gateway makes once is there."""
    app = await _begun(client, door, get())
    await asyncio.to_thread(streams.until_blank_line, app)
    app.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    head = await asyncio.to_thread(streams.until_blank_line, client)
    assert head.startswith(b"HTTP/1.1 200 "), head
    app.close()


async def _through(fleet: Fleet, source: Source, sink: Sink) -> None:
    """All comes through intact, after a while in which the sink takes nothing."""
    (worker,) = fleet.living.values()
    before = memory(worker)
    sink.start()
    source.start()
    given = await steady(lambda: source.given)
    stopped = most = memory(worker)
    assert 0 < given < MOST_UNDER_WAY, f"{given} bytes were taken though nobody read them"
    assert not source.ended
    assert sink.taken == 0
    sink.go.set()
    while not (source.ended and sink.ended):
        await asyncio.sleep(0.05)
        most = max(most, memory(worker))
    print(f"{given / MEGABYTE:.1f} MB under way, {(stopped - before) / MEGABYTE:.1f} MB for them")
    print(f"{(most - before) / MEGABYTE:.1f} MB at most for {source.given / MEGABYTE:.0f} MB")
    assert source.error is None
    assert sink.failure is None
    assert sink.digest == streams.digest(TOTAL)
    assert most - before < MOST_GROWTH


UPLOADS = {
    "length": (post(TOTAL), streams.content, streams.read_plain(TOTAL)),
    "chunked": (post(), streams.chunks, streams.read_chunks),
}


@pytest.mark.parametrize("framing", UPLOADS)
async def test_an_upload_waits_for_the_app(fleet: Fleet, door: Door, framing: str) -> None:
    head, wire, read = UPLOADS[framing]
    with dialled(fleet.port) as client:
        await _warm(client, door)
        await _upload(fleet, client, door, head, wire(TOTAL), read)


async def test_an_upload_over_tls_waits_for_the_app(secure: SecureFleet, door: Door) -> None:
    with dialled(secure.tls_port, unchecking()) as client:
        await _warm(client, door)
        wire, read = streams.content(TOTAL), streams.read_plain(TOTAL)
        await _upload(secure, client, door, post(TOTAL), wire, read)


async def _upload(
    fleet: Fleet, client: socket.socket, door: Door, head: bytes, wire: Wire, read: Read
) -> None:
    app = await _begun(client, door, head)
    await _through(fleet, Source(client, wire), Sink(app, read))
    app.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    answer = await asyncio.to_thread(streams.until_blank_line, client)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert client.recv(2) == b"ok"


DOWNLOADS = {
    "length": (b"Content-Length: %d\r\n" % TOTAL, streams.content, streams.read_plain(TOTAL)),
    "chunked": (b"Transfer-Encoding: chunked\r\n", streams.chunks, streams.read_chunks),
    "until the end": (b"Connection: close\r\n", streams.content, streams.read_all),
}


@pytest.mark.parametrize("framing", DOWNLOADS)
async def test_a_download_waits_for_the_client(fleet: Fleet, door: Door, framing: str) -> None:
    with dialled(fleet.port) as client:
        await _warm(client, door)
        await _download(fleet, client, door, framing)


async def test_a_download_over_tls_waits_for_the_client(secure: SecureFleet, door: Door) -> None:
    with dialled(secure.tls_port, unchecking()) as client:
        await _warm(client, door)
        await _download(secure, client, door, "length")


async def test_a_client_that_has_ended_its_side_gets_its_download(fleet: Fleet, door: Door) -> None:
    with dialled(fleet.port) as client:
        await _warm(client, door)
        await _download(fleet, client, door, "length", half_closed=True)
        assert client.recv(1) == b""


async def _download(
    fleet: Fleet, client: socket.socket, door: Door, framing: str, half_closed: bool = False
) -> None:
    line, wire, read = DOWNLOADS[framing]
    app = await _begun(client, door, get())
    await asyncio.to_thread(streams.until_blank_line, app)
    app.sendall(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")
    if half_closed:
        client.shutdown(socket.SHUT_WR)
    source = Source(app, wire(TOTAL), closes=framing == "until the end")
    sink = Sink(client, read)
    await _through(fleet, source, sink)
    assert sink.head.startswith(b"HTTP/1.1 200 "), sink.head


@pytest.mark.parametrize("upwards", [True, False], ids=["to the app", "to the client"])
async def test_websocket_messages_wait_for_their_reader(
    fleet: Fleet, door: Door, upwards: bool
) -> None:
    with dialled(fleet.port) as client:
        await _warm(client, door)
        app = await _switched(client, door)
        sender, reader = (client, app) if upwards else (app, client)
        source = Source(sender, streams.frames(TOTAL, masked=upwards))
        await _through(fleet, source, Sink(reader, streams.read_frames(TOTAL), headed=False))
        # The other direction is open as well.
        empty = b"\x81\x00" if upwards else b"\x81\x80mask"
        reader.sendall(empty)
        assert await asyncio.to_thread(sender.recv, 16) == empty


async def _switched(client: socket.socket, door: Door) -> socket.socket:
    """Open a WebSocket; the app's end."""
    app = await _begun(client, door, get(UPGRADE))
    await asyncio.to_thread(streams.until_blank_line, app)
    app.sendall(SWITCHING)
    answer = await asyncio.to_thread(streams.until_blank_line, client)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return app


# -- answers that come before the upload is through

TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n%b\r\ntoo large"


async def test_an_early_refusal_reaches_a_client_that_goes_on_sending(
    fleet: Fleet, door: Door
) -> None:
    with dialled(fleet.port) as client:
        app = await _begun(client, door, post(TOTAL))
        source = Source(client, streams.content(TOTAL)).start()
        await steady(lambda: source.given)
        app.sendall(TOO_LARGE % b"Connection: close\r\n")
        app.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            answer = await asyncio.to_thread(stream.read)
        assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert answer.endswith(b"\r\n\r\ntoo large"), answer
        assert b"\r\nConnection: close\r\n" in answer
        # What it still sends is dropped, so that the answer is not lost in a reset.
        await until(lambda: source.ended)


async def test_an_app_that_answers_early_and_reads_no_more_is_let_go(
    fleet: Fleet, door: Door
) -> None:
    """Its connection is of no use any more, even if the app itself never ends it."""
    (worker,) = fleet.living.values()
    before = await steady(lambda: len(descriptors(worker)))
    with dialled(fleet.port) as client:
        app = await _begun(client, door, post(TOTAL))
        source = Source(client, streams.content(TOTAL)).start()
        await steady(lambda: source.given)
        app.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        with client.makefile("rb") as stream:
            answer = await asyncio.to_thread(stream.read)
        assert answer.endswith(b"\r\n\r\nok"), answer
        await until(lambda: source.ended)
    await until(lambda: len(descriptors(worker)) <= before, 10)


async def test_a_websocket_whose_app_reads_no_more_is_let_go(tmp_path: Path, door: Door) -> None:
    """It counts as idle; what it has not taken of the messages waits for a while, not for ever."""
    fleet = Hurried(tmp_path, door.address, {"closing_seconds": 1.0}, app_idle_seconds=1.0)
    try:
        await fleet.start()
        before = await steady(lambda: len(descriptors(fleet.pid)))
        with dialled(fleet.port) as client:
            await _switched(client, door)
            source = Source(client, streams.frames(TOTAL, masked=True)).start()
            await steady(lambda: source.given)
            with client.makefile("rb") as stream:
                told = await asyncio.to_thread(stream.read)
            assert told[2:4] == (1001).to_bytes(2, "big"), told
            await until(lambda: source.ended)
        await until(lambda: len(descriptors(fleet.pid)) <= before, 10)
    finally:
        fleet.end()


async def test_what_a_websocket_client_left_behind_is_not_kept_for_ever(
    world: Any, helpers: Any
) -> None:
    """It has sent a little more than its app takes, and gone: nobody is paused, or idle."""
    gate = world.gateway.gate
    gate.limits = dataclasses.replace(gate.limits, closing_seconds=1.0)
    never = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.transport.pause_reading()
        writer.write(SWITCHING)
        await never.wait()

    world.public("a")
    world.route("a", await world.backend(app))
    reader, writer = await world.connect()
    writer.write(get(UPGRADE))
    await helpers.read_head(reader)
    (client,) = gate.clients
    to_app = client.work._target.transport
    message = b"".join(bytes(piece) for piece in streams.frames(16 * 1024, masked=True))
    while not to_app.get_write_buffer_size():
        writer.write(message)
        await writer.drain()
        await asyncio.sleep(0.001)
    writer.close()
    await helpers.until(lambda: not gate.clients, 10)
    await helpers.until(lambda: not to_app.get_write_buffer_size(), 10)
    assert to_app.is_closing()
    never.set()
