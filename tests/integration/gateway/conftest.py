"""A gateway on a port of its own, with backends beside it; the bus only where a test needs it."""

import asyncio
import contextlib
import hashlib
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
import uvicorn
import uvloop

from gateway.app import Gateway, build
from gateway.settings import GatewaySettings
from shared.events import EventData
from shared.identity import Signer, new_key, public_part

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TOKEN = "mrg_" + "a" * 43


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


def free_port() -> int:
    """A port below the range that outgoing connections use."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class World:
    """A gateway, what it knows, and the backends it leads to."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.told: list[EventData] = []
        self.session_key = new_key()
        self.identity_key = new_key()
        self._closing = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self.gateway: Gateway

    async def start(self, drain_seconds: float = 0.4, **more: Any) -> None:
        """`more` are further settings of the gateway."""
        self.loop = asyncio.get_running_loop()
        settings = GatewaySettings(
            home=self.home,
            instance="gateway-1",
            port=self.port,
            bind="127.0.0.1",
            nats_url="nats://127.0.0.1:1",
            nats_seed_file=self.home / "none",
            drain_seconds=drain_seconds,
            **more,
        )
        self.gateway = build(settings)
        self._server = await self.gateway.listen()
        gate = self.gateway.gate
        duties = (gate.keep_deadlines, gate.pools.keep_swept, self.gateway.file.keep)
        self._tasks = [asyncio.create_task(duty()) for duty in duties]
        self._tasks.append(asyncio.create_task(self.gateway.reports.send(self._tell, 0.2)))

    async def stop(self, seconds: float = 2.0) -> None:
        if self._server:
            self._server.close()
            await self.gateway.gate.stop(seconds)
            await self.gateway.file.write()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server, self._tasks = None, []

    async def close(self) -> None:
        await self.stop(0.2)
        await self._closing.aclose()

    async def _tell(self, data: EventData) -> None:
        self.told.append(data)

    # -- what the buckets would say

    def hear(self, bucket: str, key: str, document: dict[str, Any] | None) -> None:
        self.gateway.news.heard(bucket, key, document)

    def route(self, app: str, *addresses: str, revision: int = 1, **more: Any) -> None:
        """A route whose instances are named after their place and revision, unless given."""
        targets = [
            {"instance": f"{app}.web.{revision}-{number}", "address": address}
            for number, address in enumerate(addresses)
        ]
        document = {
            "app": app,
            "revision": revision,
            "release": revision,
            "state": "running",
            "targets": targets,
            "retiring": [],
            "prefix_mode": "keep",
            "sticky": False,
            "reason": "",
        }
        self.hear("routes", app, document | more)

    def public(self, app: str) -> None:
        self.access(app, "public")

    def access(self, app: str, mode: str, owner: str = "ann", grants: Any = ()) -> None:
        document = {"app": app, "mode": mode, "owner": owner, "grants": list(grants)}
        self.hear("access", app, document)

    def person(self, user: str, role: str = "viewer", **more: Any) -> None:
        document = {
            "user": user,
            "email": f"{user}@example.org",
            "name": user.title(),
            "role": role,
            "groups": ["data"],
            "active": True,
            "sessions_valid_from": 0,
        }
        self.hear("people", user, document | more)

    def token(self, user: str, *scopes: str, text: str = TOKEN) -> str:
        document = {"id": "t1", "user": user, "scopes": list(scopes), "expires": None}
        self.hear("tokens", hashlib.sha256(text.encode()).hexdigest(), document)
        return text

    def keys(self) -> None:
        for key, use in ((self.session_key, "session"), (self.identity_key, "identity")):
            document = {"kid": key["kid"], "use": use, "jwk": public_part(key), "not_after": None}
            self.hear("signing-keys", key["kid"], document)
        self.hear("gateway-keys", "identity", self.identity_key)

    def cookie(self, user: str, **more: Any) -> str:
        now = int(time.time())
        claims = {"iss": "moorage", "sub": user, "sid": "s1", "iat": now, "exp": now + 600}
        return "moorage_session=" + Signer(self.session_key).sign(claims | more)

    def identity(self, token: str, audience: str) -> dict[str, Any]:
        key = jwt.PyJWK.from_dict(public_part(self.identity_key), algorithm="EdDSA").key
        return jwt.decode(token, key, algorithms=["EdDSA"], audience=audience)

    def service(self, service: str, address: str, instance: str = "1", started: float = 1) -> None:
        document = {
            "service": service,
            "instance": instance,
            "address": address,
            "started_at": started,
            "pid": 1,
        }
        self.hear("targets", f"{service}.{instance}", document)

    # -- backends and clients

    async def backend(self, handler: Handler, path: Path | None = None) -> str:
        """A backend that speaks for itself; its address."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await handler(reader, writer)
            writer.close()

        if path is not None:
            server = await asyncio.start_unix_server(handle, path)
            address = f"unix:{path}"
        else:
            port = free_port()
            server = await asyncio.start_server(handle, "127.0.0.1", port)
            address = f"127.0.0.1:{port}"
        self._closing.callback(server.close)
        return address

    async def asgi(self, application: Any) -> str:
        """A uvicorn server with `application`; its address."""
        port = free_port()
        config = uvicorn.Config(
            application,
            host="127.0.0.1",
            port=port,
            log_level="error",
            lifespan="off",
            ws_ping_interval=None,
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        task = asyncio.create_task(server.serve())

        async def end() -> None:
            server.should_exit = True
            server.force_exit = True
            await asyncio.wait({task}, timeout=3)

        self._closing.push_async_callback(end)
        await until(lambda: server.started)
        return f"127.0.0.1:{port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)

    async def send(self, *parts: bytes) -> bytes:
        """All that comes back on one connection until the gateway closes it."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
            await writer.drain()
            if len(parts) > 1:
                await asyncio.sleep(0)
        answer = await asyncio.wait_for(reader.read(-1), 10)
        writer.close()
        return answer

    async def get(self, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
        """One GET on a connection of its own: status, headers by lower-cased name, body."""
        lines = [f"GET {path} HTTP/1.1", "Host: h", "Connection: close", *headers]
        return parse(await self.send(("\r\n".join(lines) + "\r\n\r\n").encode()))


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines[1:])
    headers = {name.lower(): value for name, value in pairs}
    return int(lines[0].split(" ")[1]), headers, body


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait for a condition; AssertionError if it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        await asyncio.sleep(0.01)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every request with its own head, body of a Content-Length included; keep-alive."""
    while True:
        head = await read_head(reader)
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = head + (await reader.readexactly(length) if length else b"")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def helpers() -> Any:
    """The functions above, for the test modules."""

    class Helpers:
        pass

    for function in (parse, until, read_head, echo, free_port):
        setattr(Helpers, function.__name__, staticmethod(function))
    return Helpers
