"""Restarts, deploys and kills under load: what of all this the clients notice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

from gateway import handover
from tests.bench.gateway import people
from tests.bench.gateway.proxies import Backend, Gateway
from tests.bench.gateway.routes import router_bus
from tests.bench.gateway.table import GatewayReport
from tests.bench.report import median
from tests.conftest import NatsServer

APP = "switched"
LASTING, FRESH = 16, 16
"""Clients that keep their connection, and that make one for each request."""
RESTARTS, DEPLOYS, KILLS = 3, 20, 3
BETWEEN_SECONDS = 0.3
PATIENCE_SECONDS = 60.0


async def measure(
    report: GatewayReport, server: NatsServer, gateway: Gateway, backend: Backend
) -> None:
    """`gateway` has two workers and serves `APP`, which is public, from its disk.

    A request counts as failed when its connection is refused or cut, or when it is not answered
    with 200. Kills are `kill -9` of one worker: what was under way there is lost, nothing else.
    """
    crowd = Crowd(gateway.port)
    workers = Workers(gateway)
    await until(lambda: workers.count == 2)
    async with router_bus(server) as bus:
        routes = bus.bucket("routes")
        await routes.put(APP, people.route(APP, [backend.address]))
        await crowd.begin()
        for number in range(1, DEPLOYS + 1):
            port = (backend.port, backend.second_port)[number % 2]
            await routes.put(APP, people.route(APP, [f"127.0.0.1:{port}"], number + 1))
            await asyncio.sleep(BETWEEN_SECONDS)
    _tell(report, "deploy", DEPLOYS, crowd)
    for _ in range(RESTARTS):
        await workers.renew()
    _tell(report, "restart", RESTARTS, crowd)
    back = [await workers.kill_one() for _ in range(KILLS)]
    _tell(report, "kill", KILLS, crowd)
    report.note("worker_back_ms", median(back) * 1000, "ms")
    await crowd.end()


def _tell(report: GatewayReport, what: str, times: int, crowd: Crowd) -> None:
    answered, failures = crowd.take()
    report.note(f"{what}s", times)
    report.note(f"{what}_requests", answered)
    report.note(f"{what}_failed", len(failures))
    for failure in sorted(set(failures))[:5]:
        print(f"    {failures.count(failure)} x {failure}", flush=True)


class Workers:
    """The worker processes of a gateway, as its folder tells of them."""

    def __init__(self, gateway: Gateway) -> None:
        self._parent = gateway.pid
        self._folder = handover.gateway_folder(gateway.folder)

    @property
    def count(self) -> int:
        return len(handover.accepting(self._folder))

    async def renew(self) -> None:
        """A restart: fresh workers for all, the old ones finish."""
        before = handover.accepting(self._folder)
        os.kill(self._parent, signal.SIGHUP)
        await until(lambda: self.count == 2 and not before & handover.accepting(self._folder))

    async def kill_one(self) -> float:
        """Seconds from the kill until two workers accept again."""
        name = sorted(handover.accepting(self._folder))[0]
        os.kill(handover.living(self._folder)[name], signal.SIGKILL)
        killed = time.perf_counter()
        await until(lambda: self.count == 2 and name not in handover.accepting(self._folder))
        took = time.perf_counter() - killed
        await asyncio.sleep(BETWEEN_SECONDS)
        return took


class Crowd:
    """Clients that ask all the time, and what went wrong for them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False
        self._answered = 0
        self._failures: list[str] = []

    async def begin(self) -> None:
        """Ask in earnest as soon as nothing goes wrong any more: both workers know the route."""
        self._tasks += [asyncio.create_task(self._ask(False)) for _ in range(FRESH)]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert time.monotonic() < deadline, f"requests go on failing: {self._failures[:1]}"
            self.take()
            await asyncio.sleep(BETWEEN_SECONDS)
            answered, failures = self.take()
            if answered > FRESH and not failures:
                break
        self._tasks += [asyncio.create_task(self._ask(True)) for _ in range(LASTING)]

    async def end(self) -> None:
        self._ending = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), PATIENCE_SECONDS)

    def take(self) -> tuple[int, list[str]]:
        """Requests answered well and failures, since it was asked the last time."""
        answered, failures = self._answered, self._failures
        self._answered, self._failures = 0, []
        return answered, failures

    async def _ask(self, keeps: bool) -> None:
        while not self._ending:
            try:
                await self._ask_on_one_connection(keeps)
            except (OSError, asyncio.IncompleteReadError, AssertionError) as error:
                self._failures.append(f"{'kept' if keeps else 'fresh'}: {error!r}")
                await asyncio.sleep(0.05)

    async def _ask_on_one_connection(self, keeps: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        closing = "" if keeps else "Connection: close\r\n"
        request = f"GET /{APP}/who HTTP/1.1\r\nHost: {people.HOST}\r\n{closing}\r\n".encode()
        try:
            while not self._ending:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                assert head.startswith(b"http/1.1 200 "), head[:60]
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r")[0]))
                self._answered += 1
                await asyncio.sleep(0.005)
                if b"\r\nconnection: close" in head:
                    return
        finally:
            writer.close()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the workers never were as they should be"
        await asyncio.sleep(0.005)
