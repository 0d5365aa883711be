"""Runs git's own HTTP server program and carries bytes between it and the client.

`git http-backend` speaks CGI (RFC 3875; git-http-backend(1)). Bytes are passed on as they come, and
whoever is slow slows the other down: nothing here holds more than a few buffers.

This must stay plain ASGI: a response class that listens for a disconnect while the body is still
being read takes pieces of the body away, which breaks every push above one megabyte.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from services.git_ingest.lines import clean_line
from services.git_ingest.trees import size_text
from shared.errors import MoorageError, Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

BUFFER_BYTES = 64 * 1024
LEAVE_SECONDS = 10.0
TERM_SECONDS = 5.0
SETTLE_SECONDS = 30.0
"""How long a push that is live already may take to move its branch, after its client left."""
DRAIN_SECONDS = 10.0


class ClientGone(Exception):
    """The client closed the connection."""


class PushTooLarge(Exception):
    """The client sent more than one push may."""


@dataclass
class GitCall:
    """One run of the program: its CGI variables and the most it may be sent.

    `settled()` is true once the outcome stands and must not be cut off by a client that leaves.
    `leave()` is called when the client has left. `inherited` are open files that the program and
    all that it starts keep open.
    """

    environment: Mapping[str, str]
    max_body: int
    settled: Callable[[], bool] = lambda: False
    leave: Callable[[], None] = lambda: None
    inherited: tuple[int, ...] = ()


class Backend:
    """One child process answering one request."""

    def __init__(self, call: GitCall, receive: Receive, send: Send) -> None:
        self._call = call
        self._receive = receive
        self._send = send
        self._started = False
        self._spoken = False
        self._muted = False

    async def serve(self) -> None:
        """Answer the request; the child is gone when this returns."""
        child = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=dict(self._call.environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=BUFFER_BYTES,
            start_new_session=True,
            pass_fds=self._call.inherited,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feeding = asyncio.create_task(self._feed(child.stdin))
        relaying = asyncio.create_task(self._relay(child.stdout))
        noting = asyncio.create_task(_note(child.stderr))
        try:
            await self._until_answered(feeding, relaying)
        finally:
            feeding.cancel()
            await _end(child, relaying)
            relaying.cancel()
            noting.cancel()
            await asyncio.gather(feeding, relaying, noting, return_exceptions=True)

    async def _until_answered(
        self, feeding: asyncio.Task[None], relaying: asyncio.Task[None]
    ) -> None:
        await asyncio.wait({feeding, relaying}, return_when=asyncio.FIRST_COMPLETED)
        if relaying.done():
            return await relaying
        try:
            await feeding
        except PushTooLarge:
            self._muted = True
            await self._refuse_size()
        except ClientGone:
            self._call.leave()
            if self._call.settled():
                await asyncio.wait({relaying}, timeout=SETTLE_SECONDS)

    async def _feed(self, stdin: asyncio.StreamWriter) -> None:
        """Pass the request's body on; then wait for the client to leave (always raises)."""
        size = 0
        listening = True
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body = message.get("body", b"")
            size += len(body)
            if size > self._call.max_body:
                raise PushTooLarge
            # A child that has read enough closes its end; the rest of the body is dropped.
            listening = listening and await _write(stdin, body)
            if not message.get("more_body", False):
                stdin.close()
                listening = False

    async def _relay(self, stdout: asyncio.StreamReader) -> None:
        """Pass the child's answer on: a CGI header, then the body; read it in any case."""
        try:
            header = await stdout.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise Unavailable("git did not answer; try again in a minute.") from error
        status, headers = parse_cgi_header(header)
        await self._start(status, headers)
        while chunk := await stdout.read(BUFFER_BYTES):
            if not self._muted:
                await self._body(chunk, more=True)
        if not self._muted:
            await self._body(b"", more=False)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, chunk: bytes, more: bool) -> None:
        self._spoken = self._spoken or bool(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _refuse_size(self) -> None:
        """Tell git's client over the sideband, the only place where it shows a sentence.

        The rest of the body is read for a while: a connection closed on data that nobody read is
        reset, and a reset may overtake the sentence.
        """
        if not self._started:
            await self._start(200, _RESULT_HEADERS)
        if not self._spoken:  # the header comes at once, packets once all is received
            await self._body(size_refusal(self._call.max_body), more=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while (await self._receive()).get("more_body", False):
                    pass
        await self._body(b"", more=False)


_RESULT_HEADERS = [
    (b"content-type", b"application/x-git-receive-pack-result"),
    (b"cache-control", b"no-cache"),
    (b"connection", b"close"),
]


def too_large(limit: int) -> str:
    return (
        f"The push is larger than the {size_text(limit)} that this platform accepts; keep data and"
        " environments out of the repository and its history."
    )


def size_refusal(limit: int) -> bytes:
    """A receive-pack answer that ends the push with a sentence (gitprotocol-pack(5), band 3)."""
    sentence = b"\x03" + too_large(limit).encode() + b"\n"
    return b"%04x" % (len(sentence) + 4) + sentence + b"0000"


def parse_cgi_header(header: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and headers of a CGI answer (RFC 3875, section 6.3)."""
    status = 200
    headers: list[tuple[bytes, bytes]] = []
    for line in header.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        elif colon:
            headers.append((name.lower(), value.strip()))
    return status, headers


async def send_sentence(send: Send, error: MoorageError) -> None:
    """Answer with the error's sentence as plain text, which git shows as `remote: ...`."""
    body = error.detail.encode() + b"\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-cache"),
    ]
    if error.status == 401:
        headers.append((b"www-authenticate", b'Basic realm="Moorage"'))
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", str(max(1, round(error.retry_after))).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _note(stderr: asyncio.StreamReader) -> None:
    while chunk := await stderr.read(4096):
        logger.warning("git said", extra={"text": clean_line(chunk.decode(errors="replace"))})


async def _write(stdin: asyncio.StreamWriter, body: bytes) -> bool:
    """Write, waiting while the child is busy; False when it listens no more."""
    try:
        if body:
            stdin.write(body)
            await stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


async def _end(child: asyncio.subprocess.Process, relaying: asyncio.Task[None]) -> None:
    """See the child off, and what it started: all are gone when their common output ends.

    With its input closed and its hook told to end, git goes by itself and removes what it had not
    accepted; a signal would make it leave that behind (tmp-objdir.c of git), so it comes later.
    """
    if child.stdin:
        child.stdin.close()
    leaving = asyncio.create_task(_gone(child, relaying))
    steps = ((None, LEAVE_SECONDS), (signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, TERM_SECONDS))
    for number, patience in steps:
        if number:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
        done, _ = await asyncio.wait({leaving}, timeout=patience)
        if done:
            return
    leaving.cancel()


async def _gone(child: asyncio.subprocess.Process, relaying: asyncio.Task[None]) -> None:
    await child.wait()
    await asyncio.wait({relaying})
