"""`python -m tests.bench.gateway.backend PORT...`: answers as cheaply as Python can.

`/<app>/1k`, `/<app>/100k`: a body of that size. `/<app>/who`: the port that was asked. `/<app>/ws`:
a WebSocket that sends back what it gets. Anything with a body: read, then a short answer.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import re
import sys
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nsec-websocket-key: *([^\r]+)", re.IGNORECASE)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def answer(body: bytes, kind: bytes = b"application/octet-stream") -> bytes:
    head = (
        b"HTTP/1.1 200 OK\r\n"
        b"Date: Mon, 23 Nov 2026 04:50:00 GMT\r\n"
        b"Server: bench\r\n"
        b"Content-Type: %b\r\n"
        b"Cache-Control: no-cache\r\n"
        b'ETag: "5d8c72a5edda8d6a"\r\n'
        b"Content-Length: %d\r\n\r\n"
    )
    return head % (kind, len(body)) + body


ANSWERS = {b"1k": answer(b"k" * 1024, b"text/html"), b"100k": answer(b"m" * 102_400)}
POSTED = answer(b"read", b"text/plain")


class Backend(asyncio.Protocol):
    """One connection: requests one after the other, or the frames of a WebSocket."""

    def __init__(self, port: int) -> None:
        self._who = answer(b"%d" % port, b"text/plain")
        self._buffer = b""
        self._left = 0
        self._socket = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._socket:
            self._echo(data)
        elif self._left:
            self._left -= len(data)
            if not self._left:
                self._transport.write(POSTED)
        else:
            self._request(self._buffer + data if self._buffer else data)

    def _request(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        self._buffer = b""
        if data[:4] == b"GET ":
            place = data[: data.find(b" ", 4)].rpartition(b"/")[2]
            self._get(place, data)
        else:
            length = _LENGTH.search(data, 0, end)
            assert length is not None
            self._left = int(length[1]) - (len(data) - end - 4)
            if not self._left:
                self._transport.write(POSTED)

    def _get(self, place: bytes, data: bytes) -> None:
        if place == b"ws":
            self._socket = True
            self._transport.write(switching(data))
        else:
            self._transport.write(ANSWERS.get(place, self._who))

    def _echo(self, data: bytes) -> None:
        """Frames of less than 126 bytes, masked with zeros as our clients mask them."""
        data = self._buffer + data
        out: list[bytes] = []
        position = 0
        while len(data) >= position + 6:
            size = data[position + 1] & 0x7F
            end = position + 6 + size
            if len(data) < end:
                break
            out.append(data[position : position + 1] + bytes((size,)) + data[position + 6 : end])
            position = end
        self._buffer = data[position:]
        self._transport.write(b"".join(out))


def switching(head: bytes) -> bytes:
    key = _KEY.search(head)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


async def main(ports: list[int]) -> None:
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(lambda port=port: Backend(port), "127.0.0.1", port, backlog=4096)
    gc.freeze()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main([int(port) for port in sys.argv[1:]]))
