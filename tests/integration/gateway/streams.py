"""Large contents under way: who sends them and who receives them, each in a thread of its own.

A source sends as fast as it is let; a sink reads nothing before it is told to. Both speak through
blocking sockets, so what a source has `given` is what the other side's machine has taken.
"""

import contextlib
import hashlib
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import BinaryIO

PATIENCE_SECONDS = 60
BINARY = 0x82
_BLOCK = memoryview(random.Random(1).randbytes(1_000_003))

Wire = Iterable[bytes | memoryview]
Read = Callable[[BinaryIO], Iterator[bytes]]


def content(total: int) -> Iterator[memoryview]:
    """So many bytes that come again in another place of every page and buffer."""
    whole, rest = divmod(total, len(_BLOCK))
    for _ in range(whole):
        yield _BLOCK
    yield _BLOCK[:rest]


@cache
def digest(total: int) -> str:
    found = hashlib.sha256()
    for piece in content(total):
        found.update(piece)
    return found.hexdigest()


# -- ways to frame it


def chunks(total: int) -> Wire:
    for piece in content(total):
        yield b"%x\r\n" % len(piece)
        yield piece
        yield b"\r\n"
    yield b"0\r\n\r\n"


def frames(total: int, masked: bool) -> Wire:
    """WebSocket messages (RFC 6455, 5.2); the mask is zero, which leaves the content as it is."""
    for piece in content(total):
        yield bytes([BINARY, masked << 7 | 127]) + len(piece).to_bytes(8, "big")
        yield bytes(4 * masked)
        yield piece


def read_plain(total: int) -> Read:
    def read(stream: BinaryIO) -> Iterator[bytes]:
        left = total
        while left and (piece := stream.read(min(left, 1 << 20))):
            left -= len(piece)
            yield piece

    return read


def read_all(stream: BinaryIO) -> Iterator[bytes]:
    """Until the other side ends it."""
    while piece := stream.read(1 << 20):
        yield piece


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    while size := int(stream.readline(), 16):
        yield stream.read(size)
        assert stream.read(2) == b"\r\n"
    assert stream.readline() == b"\r\n"


def read_frames(total: int) -> Read:
    def read(stream: BinaryIO) -> Iterator[bytes]:
        left = total
        while left:
            code, size = stream.read(2)
            assert (code, size & 0x7F) == (BINARY, 127)
            length = int.from_bytes(stream.read(8), "big")
            assert not any(stream.read(4 * (size >> 7)))
            left -= length
            yield stream.read(length)

    return read


def read_head(stream: BinaryIO) -> bytes:
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line)
    return b"".join(lines)


# -- the two ends


class Source:
    """Sends what `wire` gives; `error` is why it could not go on."""

    def __init__(self, sock: socket.socket, wire: Wire, closes: bool = False) -> None:
        self.given = 0
        self.error: OSError | None = None
        self._sock, self._wire, self._closes = sock, wire, closes
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Source":
        self._thread.start()
        return self

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            for piece in self._wire:
                view = memoryview(piece)
                while view:
                    # Small steps: a call that blocks tells nothing before it ends.
                    sent = self._sock.send(view[: 1 << 16])
                    self.given += sent
                    view = view[sent:]
            if self._closes:
                self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = error


class Sink:
    """Reads the content, and the head before it if there is one, as soon as `go` is set."""

    def __init__(self, sock: socket.socket, read: Read, headed: bool = True) -> None:
        self.go = threading.Event()
        self.head = b""
        self.taken = 0
        self.digest = ""
        self.failure: Exception | None = None
        self._sock, self._read, self._headed = sock, read, headed
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Sink":
        self._thread.start()
        return self

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        self.go.wait(PATIENCE_SECONDS)
        found = hashlib.sha256()
        try:
            with self._sock.makefile("rb", 1 << 18) as stream:
                self.head = read_head(stream) if self._headed else b""
                for piece in self._read(stream):
                    found.update(piece)
                    self.taken += len(piece)
        except (OSError, ValueError, AssertionError) as failure:
            self.failure = failure
        self.digest = found.hexdigest()


class Door:
    """A listening socket whose visitors are spoken to by the test itself."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._listening = socket.create_server(("127.0.0.1", port))
        self._listening.settimeout(PATIENCE_SECONDS)
        self._visitors: list[socket.socket] = []

    def next(self) -> socket.socket:
        """Whoever comes next. Blocks."""
        visitor = self._listening.accept()[0]
        visitor.settimeout(PATIENCE_SECONDS)
        self._visitors.append(visitor)
        return visitor

    def dismiss(self) -> None:
        """Send everybody away, those too who still wait at the door."""
        self._listening.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._visitors.append(self._listening.accept()[0])
        self._listening.settimeout(PATIENCE_SECONDS)
        while self._visitors:
            self._visitors.pop().close()

    def close(self) -> None:
        self.dismiss()
        self._listening.close()


def until_blank_line(sock: socket.socket) -> bytes:
    """A head, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    return head


@contextlib.contextmanager
def dialled(port: int, tls: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """A connection to the gateway."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    if tls is not None:
        sock = tls.wrap_socket(sock, server_hostname="localhost")
    try:
        yield sock
    finally:
        sock.close()
