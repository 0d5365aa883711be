"""A conversation through a proxy, byte by byte: what a client says, what an app says, what came of
it.

Both sides follow a script, a sequence of steps: bytes are sent, the others are below.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import h11

PATIENCE = 5.0
SHORT_PATIENCE = 0.3
"""For an answer that is not expected to come."""
BETWEEN_WRITES = 0.005
"""Seconds between two writes, so that they are read one by one; if not, a case shows less."""
CANARY = b"GET /a/canary HTTP/1.1\r\nHost: h\r\n\r\n"


class Await(NamedTuple):
    """Read until these bytes have come, and go on behind them."""

    text: bytes


class Tell(NamedTuple):
    """Let the other side go on that waits for this mark."""

    mark: str


class Hear(NamedTuple):
    """Wait until the other side tells this mark."""

    mark: str


class End(NamedTuple):
    """End the own direction (FIN) and go on reading."""


class Close(NamedTuple):
    """Close in good order."""


class Reset(NamedTuple):
    """Break the connection off (RST)."""


class Left(NamedTuple):
    """Wait until the other side has closed."""


Step = bytes | Await | Tell | Hear | End | Close | Reset | Left
Script = Sequence[Step]


class Marks:
    """What one side tells the other beside the wire."""

    def __init__(self) -> None:
        self._told: dict[str, asyncio.Event] = {}

    def __getitem__(self, mark: str) -> asyncio.Event:
        return self._told.setdefault(mark, asyncio.Event())


class Peer(asyncio.Protocol):
    """One end of a connection; keeps all that it received. `end` is "", "closed" or "reset"."""

    def __init__(self, opened: Callable[[Peer], None] | None = None) -> None:
        self.received = bytearray()
        self.taken = 0
        self.end = ""
        self.switched = False
        """Has sent a 101: what follows is no HTTP."""
        self._opened = opened
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._opened is not None:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def eof_received(self) -> bool:
        self._ended("closed")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended("reset" if exc else "closed")

    def _ended(self, how: str) -> None:
        self.end = self.end or how
        self._news.set()

    @property
    def rest(self) -> bytes:
        return bytes(self.received[self.taken :])

    async def until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> bool:
        """Whether the condition comes true before patience ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        return condition()

    async def follow(self, script: Script, marks: Marks) -> None:
        for step in script:
            match step:
                case Await(text):
                    await self._take(text)
                case Tell(mark):
                    marks[mark].set()
                case Hear(mark):
                    await asyncio.wait_for(marks[mark].wait(), PATIENCE)
                case End():
                    self.transport.write_eof()
                case Close():
                    self.transport.close()
                case Reset():
                    self._reset()
                case Left():
                    assert await self.until(lambda: bool(self.end)), "the connection goes on"
                case _:
                    self.switched |= step.startswith(b"HTTP/1.1 101 ")
                    self.transport.write(step)
                    await asyncio.sleep(BETWEEN_WRITES)

    def _reset(self) -> None:
        carrier = self.transport.get_extra_info("socket")
        at_once = struct.pack("ii", 1, 0)
        carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.transport.abort()

    async def _take(self, text: bytes) -> None:
        await self.until(lambda: text in self.received[self.taken :] or bool(self.end))
        place = self.received.find(text, self.taken)
        assert place >= 0, f"{text!r} never came; this did: {bytes(self.received)!r}"
        self.taken = place + len(text)


# -- the app's side


class Seen(NamedTuple):
    """A request as h11 reads it; `complete` if its body came to its end."""

    line: str
    body: bytes
    complete: bool
    after: bytes
    """What follows it."""


def read_request(data: bytes) -> Seen | None:
    """The first request in `data`; None if its head is not all there. Raises what h11 raises."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    parser.receive_data(data)
    head = parser.next_event()
    if not isinstance(head, h11.Request):
        return None
    line, body = f"{head.method.decode()} {head.target.decode()}", b""
    while isinstance(event := parser.next_event(), h11.Data):
        body += event.data
    complete = isinstance(event, h11.EndOfMessage)
    return Seen(line, body, complete, bytes(parser.trailing_data[0]) if complete else b"")


def seen_in(data: bytes, most: int) -> list[str]:
    """The requests in what a connection brought: "POST /a/", "POST /a/ cut", "not HTTP"."""
    lines: list[str] = []
    with contextlib.suppress(h11.RemoteProtocolError):
        while data and len(lines) < most:
            seen = read_request(data)
            if seen is None:
                break
            lines.append(seen.line if seen.complete else f"{seen.line} cut")
            data = seen.after
        return lines
    return [*lines, "not HTTP"]


class App:
    """Follows its script on the first connection and then answers every request with its line."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.marks = Marks()
        self.peers: list[Peer] = []
        self.failed: list[BaseException] = []
        self._script: Script = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def open(self, script: Script) -> None:
        self._script = script
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Peer(self._opened), "127.0.0.1", self.port, reuse_address=True
        )

    async def close(self) -> None:
        """Every connection is closed by the other side, too, before this returns."""
        assert self._server is not None
        self._server.close()
        for peer in self.peers:
            if not peer.transport.is_closing():
                with contextlib.suppress(OSError):
                    peer.transport.write_eof()
        for peer in self.peers:
            await peer.until(lambda peer=peer: bool(peer.end))  # type: ignore[misc]
            peer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _opened(self, peer: Peer) -> None:
        self.peers.append(peer)
        script, self._script = self._script, ()
        task = asyncio.get_running_loop().create_task(self._serve(peer, script))
        self._tasks.add(task)

    async def _serve(self, peer: Peer, script: Script) -> None:
        try:
            await peer.follow(script, self.marks)
            if not peer.transport.is_closing():
                await self._answer(peer)
        except (AssertionError, TimeoutError) as error:
            self.failed.append(error)
            peer.transport.abort()

    async def _answer(self, peer: Peer) -> None:
        while not peer.transport.is_closing():
            try:
                seen = read_request(peer.rest)
            except h11.RemoteProtocolError:
                peer.transport.close()
                return
            if seen is None or not seen.complete:
                if peer.end or not await peer.until(_more(peer)):
                    return
                continue
            peer.taken = len(peer.received) - len(seen.after)
            peer.transport.write(_echo(seen))

    @property
    def seen(self) -> list[str]:
        """The requests that came, canaries left out."""
        lines = [
            line
            for peer in self.peers
            for line in seen_in(bytes(peer.received), 1 if peer.switched else 1000)
        ]
        return [line for line in lines if "/a/canary" not in line]

    @property
    def received(self) -> bytes:
        return b"".join(bytes(peer.received) for peer in self.peers)


def _more(peer: Peer) -> Callable[[], bool]:
    known = len(peer.received)
    return lambda: len(peer.received) > known or bool(peer.end)


def _echo(seen: Seen) -> bytes:
    body = seen.line.encode() + b"|" + seen.body
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head if seen.line.startswith("HEAD ") else head + body


# -- the client's side

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes
    ended: bool
    """Its framing says that it is complete; never so if only the connection's end can say it."""


class Garbled(Exception):
    """These bytes are no answers."""


def read_answers(data: bytes, methods: Sequence[str]) -> list[Answer]:
    """The answers to requests of these methods (the last repeats), interim ones included. Raises
    Garbled."""
    answers: list[Answer] = []
    left = list(methods)
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        status = _STATUS.match(head + b"\r\n")
        if not end and b"\n" not in head:
            return answers
        if status is None:
            raise Garbled(data[:200])
        if not end:
            return answers
        code = int(status[1])
        body, ended, data = _read_body(code, head + b"\r\n", left[0], rest)
        answers.append(Answer(code, head, body, ended))
        if code >= 200 and len(left) > 1:
            left.pop(0)
        if code == 101:
            return answers
    return answers


def _read_body(status: int, head: bytes, method: str, rest: bytes) -> tuple[bytes, bool, bytes]:
    if status < 200 or status in (204, 304) or method == "HEAD":
        return b"", True, rest
    if _CHUNKED.search(head):
        return _read_chunks(rest)
    length = _LENGTH.search(head)
    if length is None:
        return rest, False, b""
    size = int(length[1])
    return rest[:size], len(rest) >= size, rest[size:]


def _read_chunks(data: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end:
            return body, False, b""
        size = int(line, 16)
        if size == 0:
            return body, rest[:2] == b"\r\n", rest[2:]
        if len(rest) < size + 2:
            return body + rest[:size], False, b""
        body, data = body + rest[:size], rest[size + 2 :]


def verdict(peer: Peer, methods: Sequence[str]) -> str:
    """Such as "200", "100 200 closed", "200 cut reset", "closed", "garbled"."""
    words: list[str] = []
    try:
        answers = read_answers(bytes(peer.received), methods)
    except Garbled:
        return "garbled"
    if peer.end and peer.received and not answers:
        return "garbled"
    for answer in answers:
        whole = answer.ended or (peer.end == "closed" and not _is_framed(answer))
        words += [str(answer.status)] if whole else [str(answer.status), "cut"]
    # Without an answer, it does not matter how the connection ends.
    end = peer.end if words or not peer.end else "closed"
    return " ".join([*words, end] if end else words)


def _is_framed(answer: Answer) -> bool:
    head = answer.head + b"\r\n"
    return bool(_LENGTH.search(head) or _CHUNKED.search(head))


async def speak(
    port: int, script: Script, methods: Sequence[str], says: str, marks: Marks
) -> tuple[str, bytes]:
    """Follow the script as a client, then wait for what is expected: so many answers, and a
    connection that is closed, or that still answers its next request."""
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(Peer, "127.0.0.1", port)
    try:
        await peer.follow(script, marks)
        expected = says.removesuffix(" desynced")
        await peer.until(lambda: bool(peer.end) or verdict(peer, methods) == expected)
        text, before = verdict(peer, methods), bytes(peer.received)
        if not peer.end and "101" not in says and "garbled" not in text:
            patience = PATIENCE if says == expected else SHORT_PATIENCE
            text += "" if await _answers_canary(peer, patience) else " desynced"
        return text, before
    finally:
        peer.transport.abort()


async def _answers_canary(peer: Peer, patience: float) -> bool:
    """Does one more request on the connection get its own answer: do both sides count alike?"""
    before = len(peer.received)
    peer.transport.write(CANARY)
    ended = peer.received.endswith
    await peer.until(lambda: bool(peer.end) or ended(b"GET /a/canary|"), patience)
    with contextlib.suppress(Garbled):
        answers = read_answers(bytes(peer.received[before:]), ["GET"])
        return [(one.status, one.body) for one in answers] == [(200, b"GET /a/canary|")]
    return False
