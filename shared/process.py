"""The skeleton of every process: open in order, serve, and stop in order.

A service says what it is made of (`Service`); this module gives it a database, the bus, an HTTP
server and the loops around its handlers. If a side task ends, the process ends and its supervisor
starts it again: nothing limps.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import http, logs, telemetry
from shared.bus import Bus
from shared.bus.connection import NATS_AWAY
from shared.bus.consumer import Consumer
from shared.bus.relay import Relay
from shared.bus.server_check import UnsuitableServer
from shared.database import Database, inbox
from shared.errors import Invalid, Unavailable
from shared.events import Event
from shared.logs import get_logger
from shared.settings import Settings

logger = get_logger(__name__)

PRESENCE_TTL_SECONDS = 15.0
PRESENCE_SECONDS = 5.0
STOP_SECONDS = 10.0

Handler = Callable[[Event, Any, Any], Awaitable[None]]
"""handler(event, tx, parts): runs in the transaction `tx`, which also holds the inbox row."""

Answerer = Callable[[dict[str, Any], Any], Awaitable[dict[str, Any]]]
Duty = Callable[[], Coroutine[Any, Any, None]]


@dataclass
class Ground:
    """What a service stands on."""

    name: str
    settings: Any
    database: Database
    bus: Bus


@dataclass
class Service:
    """What a service is made of; `parts` is handed to its handlers and answerers."""

    parts: Any = None
    api: ASGIApp | None = None
    handlers: Mapping[str, Handler] = field(default_factory=dict[str, Handler])
    rpcs: Mapping[str, Answerer] = field(default_factory=dict[str, Answerer])
    duties: Sequence[Duty] = ()
    on_stop: Sequence[Callable[[], Awaitable[None]]] = ()


Build = Callable[[Ground], AbstractAsyncContextManager[Service]]


@dataclass
class Health:
    """Alive means: the loop turns. Ready means: everything is open and not being closed."""

    ready: bool = False
    bus: Bus | None = None


def run(name: str, settings_type: type[Settings], build: Build, migrations: Path) -> None:
    """Run a service until SIGTERM or SIGINT; exit status 1 when a part of it failed."""
    settings = read_settings(name, settings_type)
    try:
        uvloop.run(_run(name, settings, build, migrations))
    except (UnsuitableServer, Invalid) as error:
        # Nothing that a restart would mend: the reason has to be readable in the log's last line.
        sys.exit(f"{name} cannot run here: {error}")


def read_settings(name: str, settings_type: type[Settings]) -> Any:
    """The process's settings from its environment; one sentence and exit status 2 if they lack."""
    try:
        settings = settings_type()  # type: ignore[call-arg]
    except ValidationError as error:
        sys.exit(f"{name}: settings are missing or wrong: {wrong_settings(error)}")
    logs.configure(name, settings.log_level)
    telemetry.configure(name, settings.instance, settings.otlp_endpoint)
    return settings


def wrong_settings(error: ValidationError) -> str:
    """Each variable with what is wrong with it; of several together, the sentence alone."""
    told = ((".".join(str(step) for step in one["loc"]), one["msg"]) for one in error.errors())
    return ", ".join(
        f"MOORAGE_{where.upper()} ({words})" if where else words.removeprefix("Value error, ")
        for where, words in told
    )


async def _run(name: str, settings: Settings, build: Build, migrations: Path) -> None:
    stopping = stop_signals()
    health = Health()
    async with AsyncExitStack() as stack:
        front = Front(health)
        await stack.enter_async_context(serving(front, settings.listen))
        opened = await _until(stopping, _open(name, settings, migrations, stack))
        if opened is None:
            return
        health.bus = opened.bus
        service = await stack.enter_async_context(build(opened))
        front.application = service.api
        await _serve(opened, service, health, stopping)


async def _open(name: str, settings: Settings, migrations: Path, stack: AsyncExitStack) -> Ground:
    password = settings.database_password_file
    database = Database(
        settings.database_url,
        schema=name,
        password=password.read_text().strip() if password else None,
        pool_size=settings.database_pool,
    )
    await database.open(migrations)
    stack.push_async_callback(database.close)
    bus = await Bus.connect_forever(settings, name)
    stack.push_async_callback(bus.close)
    return Ground(name, settings, database, bus)


async def _serve(ground: Ground, service: Service, health: Health, stopping: asyncio.Event) -> None:
    for call, answerer in service.rpcs.items():
        await ground.bus.answer(call, _bind(answerer, service.parts))
    consumer = Consumer(ground.bus, ground.name, _once(ground.database, service))
    tasks = [asyncio.create_task(duty(), name=_name_of(duty)) for duty in service.duties]
    tasks.append(asyncio.create_task(Relay(ground.database, ground.bus).run(), name="relay"))
    tasks.append(asyncio.create_task(presence(ground.bus, ground.settings), name="presence"))
    if service.handlers:
        tasks.append(asyncio.create_task(_consume(ground.database, consumer), name="consumer"))
    health.ready = True
    logger.info("ready")
    failure = await _first_failure(tasks, stopping)
    health.ready = False
    await consumer.stop()
    for stop in service.on_stop:
        await stop()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=STOP_SECONDS)
    with suppress(Unavailable, *NATS_AWAY):
        await ground.bus.bucket("targets").delete(f"{ground.name}.{ground.settings.instance}")
    logger.info("stopped")
    if failure:
        raise SystemExit(1)


async def _consume(database: Database, consumer: Consumer) -> None:
    """Consume while holding the lease, so that each app's events stay in order."""
    while True:
        async with database.lease("consumer") as lost:
            consuming = asyncio.create_task(consumer.run())
            waiting = asyncio.create_task(lost.wait())
            try:
                await asyncio.wait({consuming, waiting}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                consuming.cancel()
                waiting.cancel()
            if consuming.done() and not consuming.cancelled():
                consuming.result()
                return


def _once(database: Database, service: Service) -> Callable[[Event], Awaitable[None]]:
    """Each event takes effect once: the handler's work and the inbox row are one transaction."""

    async def handle(event: Event) -> None:
        handler = service.handlers.get(event.type)
        if handler is None:
            return
        async with database.transaction() as tx:
            if await inbox.first_time(tx, event.id):
                await handler(event, tx, service.parts)

    return handle


def _bind(answerer: Answerer, parts: Any) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    async def answer(payload: dict[str, Any]) -> dict[str, Any]:
        return await answerer(payload, parts)

    return answer


async def presence(
    bus: Bus,
    settings: Settings,
    more: Callable[[], Mapping[str, Any]] | None = None,
    news: asyncio.Event | None = None,
) -> None:
    """Say where this process answers, again and again; the entry expires with the process.

    `more` gives further members of the entry; `news`, when set, has it said at once.
    """
    started = time.time()
    targets = bus.bucket("targets")
    news = news or asyncio.Event()
    while True:
        news.clear()
        entry = {
            "service": bus.name,
            "instance": settings.instance,
            "address": settings.address,
            "pid": os.getpid(),
            "started_at": started,
            "seen_at": time.time(),
            **(more() if more else {}),
        }
        with suppress(Unavailable):
            await targets.put(f"{bus.name}.{settings.instance}", entry, ttl=PRESENCE_TTL_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(PRESENCE_SECONDS):
                await news.wait()


async def _first_failure(
    tasks: list[asyncio.Task[None]], stopping: asyncio.Event
) -> asyncio.Task[None] | None:
    """Wait for the signal to stop (None) or for the first side task that ends."""
    stop = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    for task in tasks:
        if task in done:
            error = None if task.cancelled() else task.exception()
            logger.error("a side task ended", extra={"task": task.get_name()}, exc_info=error)
            return task
    return None


async def _until(stopping: asyncio.Event, work: Awaitable[Ground]) -> Ground | None:
    """The result of `work`, or None when the process is told to stop first."""
    running = asyncio.ensure_future(work)
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if running.done():
        return running.result()
    running.cancel()
    return None


def stop_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


class serving(AbstractAsyncContextManager[None]):
    """Serves `application` on `listen` while the block runs."""

    def __init__(self, application: ASGIApp, listen: str) -> None:
        self._server = http.server(application, listen)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._server.serve())
        await http.wait_started(self._server, self._task)

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        if self._task:
            await asyncio.wait({self._task}, timeout=15)


class Front:
    """`/livez` and `/readyz`, and the service's own application once it is there."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self.application: ASGIApp | None = None
        self._own = FastAPI(openapi_url=None)
        self._own.add_api_route("/livez", self._livez)
        self._own.add_api_route("/readyz", self._readyz)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") in ("/livez", "/readyz"):
            await self._own(scope, receive, send)
        elif self.application is None:
            starting = http.problem(
                Unavailable("This part of the platform is starting; try again.")
            )
            await starting(scope, receive, send)
        else:
            await self.application(scope, receive, send)

    async def _livez(self) -> Response:
        return JSONResponse({"alive": True})

    async def _readyz(self) -> Response:
        connected = self._health.bus is not None and self._health.bus.connected
        ready = self._health.ready and connected
        return JSONResponse({"ready": ready, "bus": connected}, 200 if ready else 503)


def _name_of(duty: Duty) -> str:
    return getattr(duty, "__qualname__", repr(duty))
