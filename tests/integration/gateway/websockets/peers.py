"""The ends of a case's conversation: a raw client, an echo server, a server that follows a script.

A verdict is what must not depend on the gateway between the ends:

- Frames, not reads: how TCP cuts the bytes up is nobody's promise. A frame that breaks off counts
  with the bytes that came of it.
- Of the echo server, control frames and messages are two lists: it answers a ping at once and a
  message from a task of its own, so which comes first depends on how the bytes were cut up. A
  server that follows a script has one order, and one list.
- That the connection ended, and whether behind a close frame; not whether with a FIN or a reset. A
  client reports 1006 for both (RFC 6455, 7.1.5), and behind a close handshake which of them it is
  depends on who is quicker. Nothing is lost in a reset, because a script resets only when the other
  side has said that it has heard.
- Of a handshake that is refused only the answer: what becomes of the connection is HTTP's matter.
- What the app was told: of the handshake the target and the headers that are the ends' own, the
  messages, and how the client closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.integration.gateway.conformance.conversation import (
    Answer,
    Garbled,
    Marks,
    Peer,
    read_answers,
)
from tests.integration.gateway.websockets import frames
from tests.integration.gateway.websockets.case import Case, Hears, Say, Script
from tests.integration.gateway.websockets.frames import Heard
from tests.integration.gateway.websockets.framing import LARGEST

END_OF_HEAD = b"\r\n\r\n"
_OWN = ("sec-websocket-", "x-app", "origin", "cookie", "location", "www-", "retry-after")
_PROTOCOLS = ("chat", "superchat")
PATIENCE = 10.0


class Handshake(NamedTuple):
    """The answer to it; `body` is left out for the echo server, whose words are its own."""

    status: int
    headers: tuple[str, ...]
    body: bytes = b""


class Verdict(NamedTuple):
    """What came of a conversation. `code` is as a browser reports it, `broken_off` a frame of which
    not all came."""

    answer: Handshake
    heard: tuple[Heard, ...]
    broken_off: bytes | str
    code: int
    app: Any = None


async def follow(peer: Peer, script: Script, start: int, by_client: bool) -> None:
    """Do what the script says; frames that come are counted from `start` on."""
    for step in script:
        if peer.transport.is_closing():
            return
        match step:
            case Say(said, chop):
                data = b"".join(frame.encode(by_client) for frame in said)
                await write(peer, data, chop)
            case bytes():
                await write(peer, step)
            case Hears(number):
                await hear(peer, number, start)
            case _:
                await peer.follow((step,), Marks())


async def write(peer: Peer, data: bytes, chop: int = 0) -> None:
    """Whole, or in pieces between which the others may read."""
    for place in range(0, len(data), chop or len(data) or 1):
        if peer.transport.is_closing():
            return
        peer.transport.write(data[place : place + (chop or len(data))])
        await asyncio.sleep(0)


async def hear(peer: Peer, number: int, start: int) -> None:
    def heard() -> bool:
        return bool(peer.end) or frames.count(peer.received, start) >= number

    assert await peer.until(heard, PATIENCE), f"{number} frames never came: {peer.received!r:.300}"


# -- the client


async def converse(port: int, case: Case) -> Verdict:
    """The whole conversation, as the client sees it; what the app was told is still to come."""
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(Peer, "127.0.0.1", port)
    try:
        early = b"".join(frame.encode(by_client=True) for frame in case.early)
        now = len(early) if case.early_bytes is None else case.early_bytes
        await write(peer, case.head + early[:now], case.chop)
        answer, start = await _answer(peer, case)
        if answer.status != 101:
            return Verdict(answer, (), b"", 0)
        await write(peer, early[now:])
        await follow(peer, case.client, start, by_client=True)
        ended = await peer.until(lambda: bool(peer.end), PATIENCE)
        assert ended, f"the connection goes on: {peer.received!r:.300}"
        heard, broken_off = frames.read(peer.received, start)
        code = frames.close_code(heard)
        return Verdict(answer, _apart(heard) if case.server is None else heard, broken_off, code)
    finally:
        peer.transport.abort()


def _apart(heard: tuple[Heard, ...]) -> tuple[Heard, ...]:
    """Control frames behind the messages; a close frame is the last of all."""
    assert all(frame.opcode != frames.CLOSE for frame in heard[:-1]), heard
    return tuple(sorted(heard, key=lambda frame: frame.is_control))


async def _answer(peer: Peer, case: Case) -> tuple[Handshake, int]:
    """The answer to the handshake, and where it ends; status 0 if the connection ends instead."""
    method = case.head.partition(b" ")[0].decode()

    def whole() -> bool:
        return bool(peer.end) or any(one.status == 101 or one.ended for one in answers())

    def answers() -> list[Answer]:
        try:
            return read_answers(bytes(peer.received), (method,))
        except Garbled:
            return []

    assert await peer.until(whole, PATIENCE), f"no answer: {peer.received!r:.300}"
    if not answers():
        return Handshake(0, ()), len(peer.received)
    first = answers()[0]
    body = first.body if case.server is not None else b""
    start = peer.received.find(END_OF_HEAD) + len(END_OF_HEAD)
    return Handshake(first.status, headers(first.head), body), start


def headers(head: bytes) -> tuple[str, ...]:
    """What a head says of the handshake, in order of the names; a proxy has its own in others."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return own(line.partition(":")[::2] for line in lines)


def own(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    named = ((name.lower(), value.strip()) for name, value in pairs)
    return tuple(sorted(f"{name}: {value}" for name, value in named if name.startswith(_OWN)))


# -- the servers


class Echo:
    """A real WebSocket server, whose app sends every message back."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.server: Server
        self._told: Any = None

    async def told(self) -> Any:
        """None if the handshake did not succeed."""
        tasks = set(self.server.handler_tasks)
        if tasks:
            _, going_on = await asyncio.wait(tasks, timeout=PATIENCE)
            assert not going_on, "the app's connection goes on"
        told, self._told = self._told, None
        return told

    async def serve(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        seen: list[Any] = [request.path, own(request.headers.raw_items())]
        size = int(request.path.partition("pieces=")[2] or 0)
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                data = message.encode() if isinstance(message, str) else message
                seen.append((type(message).__name__, frames.short(data)))
                with contextlib.suppress(ConnectionClosed):
                    await connection.send(_in_pieces(message, size) if size else message)
        await connection.wait_closed()
        self._told = [*seen, (connection.close_code, connection.close_reason)]


def _choose(connection: ServerConnection, offered: Sequence[str]) -> str | None:
    """The first that is spoken here; none at all is no reason to refuse."""
    del connection
    return next((name for name in offered if name in _PROTOCOLS), None)


def _in_pieces(message: str | bytes, size: int) -> list[str] | list[bytes]:
    return [message[start : start + size] for start in range(0, len(message), size)]  # type: ignore[return-value]


class Scripted:
    """A server that answers every connection with the same head and follows the same script."""

    def __init__(self, port: int, case: Case) -> None:
        self.port = port
        self._case = case
        self._peers: list[Peer] = []
        self._tasks: list[asyncio.Task[int]] = []

    def opened(self, peer: Peer) -> None:
        self._peers.append(peer)
        self._tasks.append(asyncio.get_running_loop().create_task(self._serve(peer)))

    async def _serve(self, peer: Peer) -> int:
        """Where the client's frames begin."""
        assert self._case.server is not None
        whole = await peer.until(lambda: END_OF_HEAD in peer.received, PATIENCE)
        assert whole, f"no request: {peer.received!r:.300}"
        start = peer.received.find(END_OF_HEAD) + len(END_OF_HEAD)
        await write(peer, self._case.answer)
        await follow(peer, self._case.server, start, by_client=False)
        await peer.until(lambda: bool(peer.end), PATIENCE)
        peer.transport.close()
        return start

    async def told(self) -> Any:
        """The request's own headers, and the frames that came."""
        if not self._tasks:
            return None
        peer, task = self._peers[-1], self._tasks[-1]
        if not self._case.answer.startswith(b"HTTP/1.1 101"):
            return headers(bytes(peer.received).partition(END_OF_HEAD)[0])
        start = await task
        assert peer.end, f"the connection goes on: {peer.received!r:.300}"
        head = bytes(peer.received[:start]).removesuffix(END_OF_HEAD)
        return headers(head), *frames.read(peer.received, start)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for peer in self._peers:
            peer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def echoing(port: int) -> AsyncIterator[Echo]:
    echo = Echo(port)
    more: Any = {"select_subprotocol": _choose, "ping_interval": None}
    async with serve(echo.serve, "127.0.0.1", port, max_size=LARGEST, **more) as echo.server:
        yield echo


@contextlib.asynccontextmanager
async def following(case: Case, port: int) -> AsyncIterator[Scripted]:
    app = Scripted(port, case)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(app.opened), "127.0.0.1", port)
    try:
        yield app
    finally:
        await app.end()
        server.close()
