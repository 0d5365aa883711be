"""A steady load: requests at a fixed rate on kept connections, and open WebSockets beside them."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import websockets


@dataclass
class Load:
    """An open-loop load on one app: a request that is late does not make the next one later."""

    port: int
    app: str
    rate: float = 100.0
    slow_every: int = 50
    connections: int = 24
    requests: int = 0
    slow: int = 0
    failures: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    stopping: bool = False

    async def run(self) -> None:
        """Send until `stopping`; each answer must be a 200."""
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for _ in range(self.connections):
            free.put_nowait(Connection(self.port))
        started = time.perf_counter()
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        while not self.stopping:
            due = started + number / self.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            connection = await free.get()
            slow = number % self.slow_every == self.slow_every - 1
            task = asyncio.create_task(self._request(connection, free, slow))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        await asyncio.gather(*under_way)

    async def _request(
        self, connection: "Connection", free: asyncio.Queue["Connection"], slow: bool
    ) -> None:
        path = f"/{self.app}/slow" if slow else f"/{self.app}/version"
        began = time.perf_counter()
        try:
            status, body = await asyncio.wait_for(connection.get(path), 30)
            if status != 200:
                self.failures.append(f"{path}: {status} {body[:120]!r}")
        except Exception as error:
            self.failures.append(f"{path}: {error!r}")
            connection.drop()
        self.requests += 1
        self.slow += slow
        if not slow:
            self.latencies.append(time.perf_counter() - began)
        free.put_nowait(connection)


class Connection:
    """One kept HTTP/1.1 connection, opened again only after a failure or the server's wish."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost:{self._port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
        body = await self._body(reader, fields)
        if fields.get("connection", "").lower() == "close":
            self.drop()
        return int(lines[0].split(" ")[1]), body

    async def _body(self, reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readline()
            return body
        return await reader.readexactly(int(fields.get("content-length", 0)))

    def drop(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


@dataclass
class Sockets:
    """WebSockets that echo once a second and note when and how each was closed."""

    port: int
    app: str
    count: int = 20
    open: int = 0
    echoes: int = 0
    closed: list[tuple[float, float, int]] = field(default_factory=list)
    """(opened at, closed at, close code), times of `time.time()`."""
    stopping: bool = False

    async def run(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(self.count)))

    async def _one(self) -> None:
        while not self.stopping:
            opened = time.time()
            try:
                await self._talk()
            except websockets.ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                if not self.stopping:
                    self.closed.append((opened, time.time(), code))
            except OSError:
                self.closed.append((opened, time.time(), 0))

    async def _talk(self) -> None:
        url = f"ws://127.0.0.1:{self.port}/{self.app}/ws"
        async with websockets.connect(url, ping_interval=None, proxy=None) as socket:
            self.open += 1
            try:
                while not self.stopping:
                    await socket.send("hello")
                    assert await asyncio.wait_for(socket.recv(), 10) == "hello"
                    self.echoes += 1
                    await asyncio.sleep(1)
            finally:
                self.open -= 1


async def until(condition, seconds: float) -> None:
    """Poll until `condition()`; raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def background(*coroutines):
    """Run coroutines beside a block; their errors end the block."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        await asyncio.gather(*tasks)
