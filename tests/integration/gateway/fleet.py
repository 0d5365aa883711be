"""A gateway as it runs in earnest: a parent and its workers, as processes; no bus."""

import asyncio
import base64
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from deploy.embedded.layout import CHECKOUT
from gateway import handover
from gateway.table import Table
from gateway.tablefile import dump

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TEXT = 1
CLOSE = 8


def free_port() -> int:
    """A port below the range that outgoing connections use."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Poll until the condition gives something true and return that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "the condition never came true"
        await asyncio.sleep(0.02)
    return found


class Fleet:
    """Started with one public app, `a`, which leads to `backend`."""

    def __init__(self, home: Path, backend: str, **settings: Any) -> None:
        self.home = home
        self.folder = handover.gateway_folder(home)
        self.port = free_port()
        self.parent: subprocess.Popen[bytes]
        self.environment = {
            **{name: text for name, text in os.environ.items() if "MOORAGE" not in name},
            "PYTHONPATH": str(CHECKOUT),
            "MOORAGE_HOME": str(home),
            "MOORAGE_INSTANCE": "gateway-1",
            "MOORAGE_PORT": str(self.port),
            "MOORAGE_BIND": "127.0.0.1",
            "MOORAGE_NATS_URL": "nats://127.0.0.1:1",
            "MOORAGE_NATS_SEED_FILE": str(home / "none"),
            **{f"MOORAGE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._write_table(backend)

    def _write_table(self, backend: str) -> None:
        table = Table()
        route = {"app": "a", "revision": 1, "release": 1, "state": "running", "retiring": []}
        route |= {"targets": [{"instance": "a.web.1-1", "address": backend}]}
        route |= {"prefix_mode": "keep", "sticky": False, "reason": ""}
        table.set("routes", "a", route)
        table.set("access", "a", {"app": "a", "mode": "public", "owner": "ann", "grants": []})
        os.makedirs(self.folder, 0o700, exist_ok=True)
        (Path(self.folder) / "table.json").write_bytes(b"".join(dump(table)))

    async def start(self, workers: int) -> None:
        """Start a parent and wait until all its workers accept."""
        before = self.accepting
        self.launch()
        await until(lambda: len(self.accepting - before) == workers)
        await until(lambda: self.accepting.isdisjoint(before))

    def launch(self) -> None:
        log = (self.home / "gateway.log").open("ab")
        with log:
            self.parent = subprocess.Popen(
                [sys.executable, "-m", "gateway"], env=self.environment, stderr=log, cwd=self.home
            )

    @property
    def log(self) -> str:
        return (self.home / "gateway.log").read_text()

    @property
    def living(self) -> dict[str, int]:
        return handover.living(self.folder)

    @property
    def accepting(self) -> set[str]:
        return handover.accepting(self.folder)

    async def renew(self) -> None:
        """SIGHUP, and wait until every worker that accepts is a fresh one."""
        before = self.accepting
        self.parent.send_signal(signal.SIGHUP)
        await until(lambda: len(self.accepting - before) == len(before), 60)
        await until(lambda: self.accepting.isdisjoint(before))

    async def stop(self) -> int:
        """SIGTERM; the parent's exit status."""
        self.parent.send_signal(signal.SIGTERM)
        return await until(lambda: self.parent.poll() is not None, 30) and self.parent.returncode

    def end(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self.parent.poll() is None:
            self.parent.kill()
            self.parent.wait()
        for pid in self.living.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)

    async def get(self, path: str = "/a/") -> bytes:
        """The body of one answer, on a connection of its own."""
        reader, writer = await self.connect()
        try:
            return (await fetch(reader, writer, path, close=True))[1]
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def backend() -> AsyncIterator[str]:
    """An app: `/a/` answers at once, `/a/slow?SECONDS` takes so long to be sent, `/a/ws` echoes."""
    port = free_port()
    server = await asyncio.start_server(_serve, "127.0.0.1", port)
    yield f"127.0.0.1:{port}"
    server.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    gone = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
    with contextlib.suppress(*gone):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1]
            if path.startswith(b"/a/slow"):
                await _send_slowly(writer, float(path.partition(b"?")[2]))
            elif path == b"/a/ws":
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
                writer.write(b"Connection: Upgrade\r\n\r\n")
                while True:
                    code, payload = await read_frame(reader)
                    writer.write(frame(code, payload, masked=False))
                    if code == CLOSE:
                        break
                break
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
    writer.close()


async def _send_slowly(writer: asyncio.StreamWriter, seconds: float) -> None:
    steps = int(seconds * 20)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (steps * 10_000))
    for _ in range(steps):
        writer.write(b"x" * 10_000)
        await asyncio.sleep(0.05)


async def fetch(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, close: bool = False
) -> tuple[bytes, bytes]:
    """One request on a connection; head and body. IncompleteReadError if the answer is cut."""
    more = "Connection: close\r\n" if close else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


# -- WebSockets, as bytes (RFC 6455, 5.2)


def frame(code: int, payload: bytes, masked: bool = True) -> bytes:
    """A short frame."""
    assert len(payload) < 126
    if not masked:
        return bytes([0x80 | code, len(payload)]) + payload
    mask = os.urandom(4)
    hidden = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([0x80 | code, 0x80 | len(payload)]) + mask + hidden


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    mask = await reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
    hidden = await reader.readexactly(second & 0x7F)
    return first & 0xF, bytes(byte ^ mask[place % 4] for place, byte in enumerate(hidden))


class WebSocket:
    """A client's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, fleet: Fleet) -> "WebSocket":
        reader, writer = await fleet.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /a/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return cls(reader, writer)

    async def echo(self, text: bytes) -> bool:
        """Does it still come back? False once the other end has closed, whose code is kept."""
        self.writer.write(frame(TEXT, text))
        code, payload = await read_frame(self.reader)
        if code == CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            self.writer.write(frame(CLOSE, payload[:2]))
            return False
        assert payload == text
        return True


class Load:
    """Clients that ask all the time, and what has gone wrong for them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False
        self.answered = 0
        self.failures: list[str] = []

    def begin(self, lasting: int = 4, fresh: int = 4) -> None:
        """So many clients keep their connection, so many make a new one for each request."""
        self._tasks += [asyncio.create_task(self._ask(keep=True)) for _ in range(lasting)]
        self._tasks += [asyncio.create_task(self._ask(keep=False)) for _ in range(fresh)]

    async def end(self) -> None:
        self._ending = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), 30)

    async def _ask(self, keep: bool) -> None:
        while not self._ending:
            try:
                await self._ask_on_one_connection(keep)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(f"{'kept' if keep else 'fresh'}: {error!r}")
                await asyncio.sleep(0.05)

    async def _ask_on_one_connection(self, keep: bool) -> None:
        reader, writer = await self._fleet.connect()
        try:
            while not self._ending:
                head, body = await fetch(reader, writer, "/a/", close=not keep)
                assert body == b"ok", head
                self.answered += 1
                await asyncio.sleep(0.005)
                if b"connection: close" in head.lower() or not keep:
                    return
        finally:
            writer.close()
