"""A body where none may be, and late: it must not become the answer to somebody else's request.

Waitress sends one after HEAD, and uvicorn after 304 in a write of its own, if the app gives them
one. When the head is read, nobody can know whether there is more to come.
"""

import asyncio

import pytest

from tests.integration.gateway.conftest import World

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
SOUND = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsound"
LENGTH = b"Content-Length: %d\r\n" % len(POISON)


class LateApp:
    """Answers its first request with a head, and sends the body when it is asked again."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if b"/a/first" not in asked:
            writer.write(SOUND)
            return
        writer.write(self._head)
        await writer.drain()
        if await reader.read(1):  # somebody else, on this very connection
            writer.write(POISON)
            await writer.drain()


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n" + LENGTH + b"\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n" + LENGTH + b"\r\n"),
    ],
    ids=["HEAD", "HEAD chunked", "304", "304 chunked", "204"],
)
async def test_a_late_body_is_nobodys_answer(world: World, method: str, head: bytes) -> None:
    world.public("a")
    world.route("a", await world.backend(LateApp(head).serve))
    first, writer = await world.connect()
    writer.write(f"{method} /a/first HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    await first.readuntil(b"\r\n\r\n")
    status, _, body = await world.get("/a/second")
    writer.close()
    assert (status, body) == (200, b"sound")


async def test_a_bodiless_answer_without_a_length_keeps_its_connection(world: World) -> None:
    """The case that is common and safe: no length is named, no body follows."""
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    world.public("a")
    world.route("a", await world.backend(serve))
    for _ in range(3):
        assert (await world.get("/a/x"))[0] == 204
    assert len(connections) == 1
