"""Where the gateway's parts meet."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway import datapath
from gateway.accesslog import AccessLog
from gateway.control import Control, Post, ask_siblings
from gateway.drain import Drains
from gateway.ending import Patience, take_leave
from gateway.gate import Gate, Ready
from gateway.handover import gateway_folder
from gateway.ledger import Ledger
from gateway.listeners import Listeners
from gateway.news import News, key_path, remember, table_path
from gateway.otlp import keep_exporting
from gateway.ownkey import OwnKey
from gateway.pools import Pools
from gateway.reports import Reports
from gateway.selfreport import Told, gauges, page, told
from gateway.settings import GatewaySettings
from gateway.sockets import listening_socket
from gateway.table import Table
from gateway.tablefile import TableFile, dump
from gateway.tls import Certificates
from shared.bus import Bus
from shared.errors import Unavailable
from shared.events import EventData, new_event
from shared.logs import get_logger
from shared.process import presence, stop_signals

logger = get_logger(__name__)

BUS_RETRY_SECONDS = 2.0
LEARNING_SECONDS = 3.0
"""How long a worker that begins waits to hear what is true now, before it serves what was."""
HURRIED_SECONDS = 0.3
"""The same while connections wait, because the worker before it is gone."""
LEARNING_POLL_SECONDS = 0.01
IDLE_SECONDS = 0.2


@dataclass
class Heard:
    """The bus, since it has been heard for the first time."""

    bus: Bus | None = None

    @property
    def connected(self) -> bool:
        return self.bus is not None and self.bus.connected


@dataclass
class Gateway:
    """A gateway process, put together and not yet started."""

    settings: GatewaySettings
    table: Table
    gate: Gate
    file: TableFile
    reports: Reports
    news: News
    listeners: Listeners
    heard: Heard
    control: Control | None = None
    writes_table: bool = True

    async def listen(self) -> Listeners:
        """Begin to accept on sockets of its own; several gateways may listen on one port."""
        await self.listeners.open(self._own_sockets())
        return self.listeners

    def _own_sockets(self) -> dict[str, list[socket.socket]]:
        settings = self.settings
        ports = {"http": settings.port, "https": settings.tls_port}
        return {
            kind: [listening_socket(settings.bind, port)] for kind, port in ports.items() if port
        }

    async def learn(self, seconds: float) -> None:
        """Wait until the bus has told all there is and knows of this worker, or for so long: what
        lies on the disk may lead to instances that have been stopped since."""
        known = self.gate.ready.table
        self.gate.ready.table = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (self.gate.ready.table and self._is_present()):
                    await asyncio.sleep(LEARNING_POLL_SECONDS)
        self.gate.ready.table |= known

    def _is_present(self) -> bool:
        own = f"gateway.{self.settings.instance}"
        return any(own in processes for processes in self.table.services.values())

    @property
    def duties(self) -> list[Callable[[], Awaitable[None]]]:
        duties = [self.gate.keep_deadlines, self.gate.pools.keep_swept, self._bus]
        duties += [self.file.keep] if self.writes_table else []
        duties += self.listeners.duties
        log, endpoint = self.gate.ledger.log, self.settings.otlp_endpoint
        duties += [log.keep] if log else []
        duties += [partial(self._export, endpoint)] if endpoint else []
        duties += [self.control.answer, self.control.follow_parent] if self.control else []
        return duties

    async def _export(self, endpoint: str) -> None:
        """Send the counts to a collector, for ever."""
        await keep_exporting(
            endpoint,
            self.settings.instance,
            self.gate.ledger.traffic.snapshot,
            lambda: gauges(self.gate, self.heard.connected),
        )

    async def _bus(self) -> None:
        """Follow the bus, for ever; whatever happens to it, traffic goes on."""
        while True:
            bus: Bus | None = None
            try:
                bus = self.heard.bus = await Bus.connect_forever(self.settings, name="gateway")
                await self._live_on(bus)
            except Exception:
                logger.exception("the bus cannot be followed; trying again")
            finally:
                if bus is not None:
                    await self._leave(bus)
            await asyncio.sleep(BUS_RETRY_SECONDS)

    async def _live_on(self, bus: Bus) -> None:
        async def publish(data: EventData) -> None:
            await bus.publish(new_event("gateway", data))

        async with asyncio.TaskGroup() as group:
            group.create_task(self.news.follow(bus))
            group.create_task(self._be_present(bus))
            group.create_task(self.reports.send(publish))

    async def _be_present(self, bus: Bus) -> None:
        """Say that we live, and which of our siblings do not: their silence would prove nothing."""
        control = self.control
        if control is None:
            await presence(bus, self.settings)
            return
        await presence(bus, self.settings, lambda: {"gone": control.gone.names}, control.news)

    async def _leave(self, bus: Bus) -> None:
        with suppress(Unavailable, OSError, TimeoutError):
            if bus.connected:
                await bus.bucket("targets").delete(f"gateway.{self.settings.instance}")
        with suppress(Exception):  # the connection is being given up in any case
            await bus.close()


def build(settings: GatewaySettings, post: Post | None = None) -> Gateway:
    """Put a gateway together, with what it knew when it last ran."""
    folder = settings.home / "gateway"
    table, key, ready = Table(), OwnKey(), Ready()
    remember(table, key, folder)
    ready.table = bool(table.routes or table.services)
    pools = Pools()
    reports = Reports(settings.instance)
    drains = Drains(pools, reports, settings.drain_seconds)
    file = TableFile(table_path(folder), lambda: dump(table))
    place = settings.access_log_path
    ledger = Ledger(log=AccessLog(place, settings.instance) if place else None)
    gate = datapath.lay(settings, table, key, pools, ready, ledger)
    certificates = None
    if settings.tls_port:
        certificates = Certificates(settings.certificates, settings.host_names)
    heard = Heard()
    workers = gateway_folder(settings.home)

    def tell() -> Told:
        return told(settings.instance, gate, heard.connected)

    gate.count = partial(page, partial(ask_siblings, workers))
    return Gateway(
        settings=settings,
        table=table,
        gate=gate,
        file=file,
        reports=reports,
        news=News(table, drains, file, key, key_path(folder), ready, ledger.traffic.forget),
        listeners=Listeners(settings, gate, certificates),
        control=Control(workers, post, tell) if post else None,
        heard=heard,
        writes_table=post is None or post.slot == 0,
    )


async def serve(settings: GatewaySettings, post: Post) -> bool:
    """Serve where the parent has put us until told to end; False if a side task ended, which must
    not happen. Raises `Abandoned`."""
    stopping = asyncio.create_task(stop_signals().wait())
    gateway = build(settings, post)
    control = gateway.control
    assert control is not None
    control.open()
    tasks = [asyncio.create_task(_forever(duty)) for duty in gateway.duties]
    try:
        await gateway.learn(HURRIED_SECONDS if post.hurried else LEARNING_SECONDS)
        await gateway.listeners.open(post.listening)
        control.say_ready()
        logger.info("listening", extra={"ports": gateway.listeners.ports})
        retiring = asyncio.create_task(control.retired.wait())
        ends: set[asyncio.Task[Any]] = {stopping, retiring}
        done, _ = await asyncio.wait({*ends, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - ends:
            logger.error("a side task ended", exc_info=task.exception())
        await _finish(gateway, stopping)
        return bool(done & ends)
    finally:
        await _end(gateway, tasks)


async def _finish(gateway: Gateway, stopping: "asyncio.Task[Any]") -> None:
    """Take nothing new and let what is under way end; hurry when told to stop meanwhile."""
    settings, gate, listeners = gateway.settings, gateway.gate, gateway.listeners
    assert gateway.control is not None
    listeners.close()
    gateway.control.say_leaving()
    long = Patience(settings.drain_seconds, settings.restart_seconds)
    short = Patience(0.0, settings.stop_seconds, IDLE_SECONDS)
    leaving = asyncio.create_task(take_leave(gate, long, listeners.handshakes))
    await asyncio.wait({leaving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not leaving.done():
        leaving.cancel()
        await take_leave(gate, short, listeners.handshakes)


async def _end(gateway: Gateway, tasks: "Sequence[asyncio.Task[None]]") -> None:
    control = gateway.control
    assert control is not None
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if gateway.writes_table and not control.retired.is_set():
        await gateway.file.write()
    control.close()
    logger.info("stopped")


async def _forever(duty: Callable[[], Awaitable[None]]) -> None:
    await duty()
