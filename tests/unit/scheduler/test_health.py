"""The answer must be the one that the framework's entry names."""

import asyncio
from types import SimpleNamespace

import pytest

from services.scheduler.health import get, judge


def expect(status=None, contains=None, json=False):
    return SimpleNamespace(status=status, contains=contains, is_json=json)


@pytest.mark.parametrize(
    ("expected", "status", "body", "healthy"),
    [
        (expect(), 200, b"", True),
        (expect(), 404, b"", True),
        (expect(), 500, b"", False),
        (expect(status=200), 200, b"", True),
        (expect(status=200), 302, b"", False),
        (expect(status=200, contains="ok"), 200, b"it is ok", True),
        (expect(status=200, contains="ok"), 200, b"<html>", False),
        (expect(status=200, json=True), 200, b'{"a": 1}', True),
        (expect(status=200, json=True), 200, b"<html>catch-all</html>", False),
    ],
)
def test_an_answer_is_judged(expected, status, body, healthy):
    assert (judge(expected, "/x", status, {}, body) is None) == healthy


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
            b"hi",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", b"hi"),
    ],
)
async def test_bodies_in_every_framing_are_read(raw, body):
    assert (await _asked(raw))[2] == body


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"]
)
async def test_no_proper_answer_is_an_error(raw):
    with pytest.raises((OSError, EOFError, ValueError)):
        await _asked(raw)


async def _asked(raw):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await asyncio.wait_for(get(("127.0.0.1", port), "/x", "host", None), 5)
