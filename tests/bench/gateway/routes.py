"""100,000 routes from a real NATS server: what they weigh, and how soon a change is seen."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import nats as nats_client
import orjson

from deploy.embedded import nats
from shared.bus import Bucket, Bus
from tests.bench.gateway import people
from tests.bench.gateway.limits import settled_pss
from tests.bench.gateway.people import Visit
from tests.bench.gateway.proxies import Backend, Gateway
from tests.bench.gateway.table import GatewayReport
from tests.bench.report import median
from tests.conftest import NatsServer

COUNT = 100_000
CHANGES = 30
PATIENCE_SECONDS = 10.0


def nats_settings(server: NatsServer) -> dict[str, str]:
    """The settings of a gateway that uses this server."""
    settings = server.settings("gateway")
    return {
        "MOORAGE_NATS_URL": settings.nats_url,
        "MOORAGE_NATS_SEED_FILE": str(settings.nats_seed_file),
        "MOORAGE_NATS_CA_FILE": str(settings.nats_ca_file),
    }


async def measure(
    report: GatewayReport, server: NatsServer, gateway: Gateway, backend: Backend, visit: Visit
) -> None:
    """`gateway` serves one app from its disk; the server has no route when this begins.

    The weight is the gateway's PSS with all routes, started afresh, less its PSS without them. A
    change lasts from before the route is put into the bucket until an answer of the new target is
    there; requests follow each other on one connection meanwhile.
    """
    gateway.start()
    gateway.wait_until_ready()
    without = await settled_pss(gateway.pid)
    gateway.stop()
    apps = people.app_names(COUNT)
    await _fill(server, apps, backend.address)
    began = time.perf_counter()
    gateway.start()
    gateway.wait_until_ready()
    await _until_known(gateway, visit, apps[-1])
    report.note("routes_100k_start_s", time.perf_counter() - began, "s")
    weight = await settled_pss(gateway.pid) - without
    report.note("routes_100k_mb", weight / 1e6, "MB")
    took, slowest = await _change_all(server, gateway, backend)
    report.note("routes_100k_change_ms", median(took) * 1000, "ms")
    report.note("routes_100k_change_slowest_ms", max(took) * 1000, "ms")
    report.note("routes_100k_slowest_request_ms", slowest * 1000, "ms")


async def _fill(server: NatsServer, apps: Sequence[str], address: str) -> None:
    """Put all routes while the server need not sync every write, which would take minutes."""
    async with router_bus(server):
        pass  # makes sure of the bucket
    server.stop()
    process = subprocess.Popen(_unsynced(server), stderr=subprocess.DEVNULL)
    try:
        settings = server.settings("router")
        client = await nats_client.connect(
            settings.nats_url,
            tls=ssl.create_default_context(cafile=settings.nats_ca_file),
            nkeys_seed_str=settings.nats_seed_file.read_text().strip(),
            inbox_prefix="_INBOX_router",
            max_reconnect_attempts=20,
            reconnect_time_wait=0.25,
            error_cb=_say_nothing,
        )
        stream = client.jetstream(publish_async_max_pending=2000)
        for app in apps:
            document = orjson.dumps(people.route(app, [address]))
            await stream.publish_async(Bucket(None, "routes")._subject(app), document)  # type: ignore[arg-type]
        await stream.publish_async_completed()
        await client.close()
    finally:
        process.terminate()
        process.wait()
    server.start()


async def _say_nothing(_: Exception) -> None:
    """A server that has just been started refuses for a moment."""


def _unsynced(server: NatsServer) -> list[str]:
    command = nats.command(server.layout, server.port)
    file = Path(command[-1])
    configuration = json.loads(file.read_text())
    configuration["jetstream"]["sync_interval"] = "1m"
    file.write_text(json.dumps(configuration))
    return command


@asynccontextmanager
async def router_bus(server: NatsServer) -> AsyncIterator[Bus]:
    """The bus as the service sees it that writes routes."""
    bus = await asyncio.wait_for(Bus.connect_forever(server.settings("router"), "router"), 30)
    try:
        yield bus
    finally:
        await bus.close()


async def _until_known(gateway: Gateway, visit: Visit, app: str) -> None:
    """Until the gateway has heard of an app: it may open it to nobody, but it is there."""
    client = _Client(gateway.port)
    deadline = time.monotonic() + 120
    while (await client.get(Visit(app, visit.session).bare_get("1k")))[0] == 404:
        assert time.monotonic() < deadline, "the gateway never heard of the last route"
        await asyncio.sleep(0.1)
    client.close()


def changed_apps() -> list[str]:
    """The apps whose routes are changed; anybody may open them."""
    return random.Random(3).sample(people.app_names(COUNT), CHANGES)


async def _change_all(
    server: NatsServer, gateway: Gateway, backend: Backend
) -> tuple[list[float], float]:
    """Seconds that each change took, and of the slowest request while routes changed."""
    client, chance = _Client(gateway.port), random.Random(4)
    took: list[float] = []
    async with router_bus(server) as bus:
        for app in changed_apps():
            pause = time.perf_counter() + chance.uniform(0.1, 0.6)
            while time.perf_counter() < pause:
                assert await client.get(_who(app)) == (200, b"%d" % backend.port)
            took.append(await _change(bus, client, app, backend.second_port))
    client.close()
    return took, client.slowest


async def _change(bus: Bus, client: _Client, app: str, port: int) -> float:
    """Lead an app to another port."""
    document = people.route(app, [f"127.0.0.1:{port}"], 2)
    began = time.perf_counter()
    putting = asyncio.create_task(bus.bucket("routes").put(app, document))
    while await client.get(_who(app)) != (200, b"%d" % port):
        assert time.perf_counter() - began < PATIENCE_SECONDS, "the change was never seen"
    took = time.perf_counter() - began
    await putting
    return took


def _who(app: str) -> bytes:
    return f"GET /{app}/who HTTP/1.1\r\nHost: {people.HOST}\r\n\r\n".encode()


class _Client:
    """One request after the other on a kept connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.slowest = 0.0

    async def get(self, request: bytes) -> tuple[int, bytes]:
        """Status and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        began = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r")[0])
        body = await reader.readexactly(length)
        self.slowest = max(self.slowest, time.perf_counter() - began)
        if b"\r\nconnection: close" in head:
            self.close()
        return int(head.split(b" ")[1]), body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
