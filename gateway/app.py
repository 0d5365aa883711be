"""Where the gateway's parts meet."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from gateway import datapath
from gateway.client import ClientConnection
from gateway.drain import Drains
from gateway.gate import Gate, Ready
from gateway.ledger import Ledger
from gateway.news import News, key_path, remember, table_path
from gateway.ownkey import OwnKey
from gateway.pools import Pools
from gateway.reports import Reports
from gateway.settings import GatewaySettings
from gateway.table import Table
from gateway.tablefile import TableFile, dump
from shared.bus import Bus
from shared.errors import Unavailable
from shared.events import EventData, new_event
from shared.logs import get_logger
from shared.process import presence, stop_signals

logger = get_logger(__name__)

BACKLOG = 2048
KEEPALIVE_SECONDS = 60
BUS_RETRY_SECONDS = 2.0


@dataclass
class Gateway:
    """A gateway process, put together and not yet started."""

    settings: GatewaySettings
    table: Table
    gate: Gate
    file: TableFile
    reports: Reports
    news: News

    async def listen(self) -> asyncio.Server:
        """Begin to accept; several gateways may listen on one port."""
        loop = asyncio.get_running_loop()
        sock = listening_socket(self.settings.bind, self.settings.port)
        return await loop.create_server(
            lambda: ClientConnection(self.gate), sock=sock, backlog=BACKLOG
        )

    @property
    def duties(self) -> list[Callable[[], Awaitable[None]]]:
        return [self.gate.keep_deadlines, self.gate.pools.keep_swept, self.file.keep, self._bus]

    async def _bus(self) -> None:
        """Follow the bus, for ever; whatever happens to it, traffic goes on."""
        while True:
            bus: Bus | None = None
            try:
                bus = await Bus.connect_forever(self.settings, name="gateway")
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
            group.create_task(presence(bus, self.settings))
            group.create_task(self.reports.send(publish))

    async def _leave(self, bus: Bus) -> None:
        with suppress(Unavailable, OSError, TimeoutError):
            if bus.connected:
                await bus.bucket("targets").delete(f"gateway.{self.settings.instance}")
        with suppress(Exception):  # the connection is being given up in any case
            await bus.close()


def build(settings: GatewaySettings) -> Gateway:
    """Put a gateway together, with what it knew when it last ran."""
    folder = settings.home / "gateway"
    table, key, ready = Table(), OwnKey(), Ready()
    remember(table, key, folder)
    ready.table = bool(table.routes or table.services)
    pools = Pools()
    reports = Reports(settings.instance)
    drains = Drains(pools, reports, settings.drain_seconds)
    file = TableFile(table_path(folder), lambda: dump(table))
    return Gateway(
        settings=settings,
        table=table,
        gate=datapath.lay(settings, table, key, pools, ready, Ledger()),
        file=file,
        reports=reports,
        news=News(table, drains, file, key, key_path(folder), ready),
    )


def listening_socket(bind: str, port: int) -> socket.socket:
    """A socket that others may share (SO_REUSEPORT) and that notices clients that are gone."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((bind, port))
    sock.setblocking(False)
    return sock


async def serve(settings: GatewaySettings) -> bool:
    """Serve until told to stop; False if a side task ended, which must not happen."""
    stopping = stop_signals()
    gateway = build(settings)
    server = await gateway.listen()
    tasks = [asyncio.create_task(_forever(duty)) for duty in gateway.duties]
    logger.info("listening", extra={"bind": settings.bind, "port": settings.port})
    stop = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in done - {stop}:
        logger.error("a side task ended", exc_info=task.exception())
    server.close()
    await gateway.gate.stop(settings.stop_seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await gateway.file.write()
    logger.info("stopped")
    return stop in done


async def _forever(duty: Callable[[], Awaitable[None]]) -> None:
    await duty()
