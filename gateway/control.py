"""A worker's side of the protocol in `handover`: what its parent, its next parent and its siblings
ask of it."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from gateway import handover
from gateway.gone import Gone
from gateway.handover import ANSWER_SECONDS, LONGEST_ANSWER
from shared.logs import get_logger

logger = get_logger(__name__)

Metrics = Callable[[], dict[str, Any]]


class Post(NamedTuple):
    """Where a worker serves: what its parent hands to it. `hurried` if nobody serves there at the
    moment. Listening sockets are told apart by what is spoken there, "http" or "https"."""

    name: str
    slot: int = 0
    hurried: bool = False
    channel: socket.socket | None = None
    listening: dict[str, list[socket.socket]] = {}  # noqa: RUF012


class Abandoned(Exception):
    """The parent ended before this worker was ready; the next one could not know of it."""


class Control:
    """Answers for a worker; `retired` is set when it shall finish and end."""

    def __init__(self, folder: str, post: Post, metrics: Metrics) -> None:
        self._folder = folder
        self._post = post
        self._metrics = metrics
        self._listener: socket.socket | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._orphaned = False
        self.ready = self.leaving = False
        self.retired = asyncio.Event()
        self.gone = Gone()
        self.news = asyncio.Event()
        """Set when another worker has ended; whoever waits for it clears it."""

    def open(self) -> None:
        """Be found by others, from now on."""
        self._listener = handover.listen(self._folder, self._post.name)

    def close(self) -> None:
        for conversation in self._conversations:
            conversation.cancel()
        if self._listener is not None:
            self._listener.close()
            handover.forget(self._folder, self._post.name)

    def say_ready(self) -> None:
        """Tell the parent that connections are accepted. Raises `Abandoned`."""
        self.ready = True
        if self._orphaned:
            raise Abandoned
        if self._post.channel is not None:
            with contextlib.suppress(OSError):  # it has ended just now: the next one finds us
                self._post.channel.send(b"ready\n")

    def say_leaving(self) -> None:
        """Tell the parent that no more connections are accepted, for whatever reason."""
        self.leaving = True
        if self._post.channel is not None:
            with contextlib.suppress(OSError):
                self._post.channel.send(b"leaving\n")

    async def follow_parent(self) -> None:
        """Listen to the parent, for ever; when it is gone the worker goes on without one."""
        channel = self._post.channel
        if channel is not None:
            channel.setblocking(False)
            await self._converse(channel)
            self._orphaned = True
            if not self.ready:
                raise Abandoned
            logger.warning("the parent is gone; serving goes on")
        await asyncio.get_running_loop().create_future()

    async def answer(self) -> None:
        """Answer whoever connects, for ever."""
        assert self._listener is not None
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # no descriptor is left, for instance
                logger.error("a sibling is not answered", extra={"cause": repr(error)})
                await asyncio.sleep(1)
                continue
            task = loop.create_task(self._converse_with(sock))
            self._conversations.add(task)
            task.add_done_callback(self._conversations.discard)

    async def _converse_with(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(PermissionError):
            handover.peer_of(sock)
            await self._converse(sock)

    async def _converse(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(sock, 4096):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    await self._obey(sock, line.decode(errors="replace"))

    async def _obey(self, sock: socket.socket, line: str) -> None:
        match line.split(" "):
            case ["sockets"]:
                handover.give(sock, self._post.name, self.ready, self._accepting())
            case ["metrics"]:
                answer = orjson.dumps(self._metrics()) + b"\n"
                await asyncio.get_running_loop().sock_sendall(sock, answer)
            case ["gone", name]:
                self.gone.add(name)
                self.news.set()
            case ["retire"]:
                self.retired.set()
            case _:
                logger.warning("unknown wish of another process", extra={"line": line})

    def _accepting(self) -> list[socket.socket]:
        """The sockets this worker accepts from; none once it has begun to end."""
        if self.leaving or self.retired.is_set():
            return []
        return [one for part in self._post.listening.values() for one in part]


async def ask_siblings(
    folder: str | os.PathLike[str], seconds: float = ANSWER_SECONDS
) -> list[dict[str, Any]]:
    """The counters of every worker that answers in `folder` in time, the one who asks included."""
    names = handover.names(os.fspath(folder))
    answers = await asyncio.gather(*(_ask(os.fspath(folder), name, seconds) for name in names))
    return [answer for answer in answers if answer is not None]


async def _ask(folder: str, name: str, seconds: float) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(seconds):
            return await _ask_metrics(folder, name)
    except (OSError, ValueError):  # gone, or too busy to say it in time
        return None


async def _ask_metrics(folder: str, name: str) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with sock, handover.short_path(folder, name) as path:
        await loop.sock_connect(sock, path)
        handover.peer_of(sock)
        await loop.sock_sendall(sock, b"metrics\n")
        answer = bytearray()
        while not answer.endswith(b"\n"):
            data = await loop.sock_recv(sock, 1 << 18)
            if not data or len(answer) > LONGEST_ANSWER:
                raise ConnectionResetError("the worker broke off")
            answer += data
    found: dict[str, Any] = orjson.loads(answer)
    return found
