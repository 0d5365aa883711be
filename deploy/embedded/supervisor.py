"""The supervisor: one process that keeps all others running, in order.

Killed itself, it leaves its children running; the next `make up` starts another, which adopts them.
"""

import asyncio
import fcntl
import os
import sys
from collections.abc import Callable

import asyncpg

from deploy.embedded import credentials, openbao, postgres, probes
from deploy.embedded.children import Keeper
from deploy.embedded.layout import Layout
from deploy.embedded.platform import servers, services
from shared import logs
from shared.logs import get_logger
from shared.process import stop_signals

logger = get_logger(__name__)

TRIM_SECONDS = 60.0


class AlreadyRunning(Exception):
    """Another supervisor has this data folder."""


def hold(layout: Layout) -> int:
    """Take the data folder; the lock ends with this process. Raises `AlreadyRunning`."""
    descriptor = os.open(layout.run / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyRunning from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def holder(layout: Layout) -> int | None:
    """The pid of the supervisor that runs, if one does."""
    path = layout.run / "supervisor.lock"
    if not path.exists():
        return None
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0) or None
    return None


async def supervise(layout: Layout) -> None:
    """Bring everything up in order and keep it up until SIGTERM or SIGINT."""
    stopping = stop_signals()
    credentials.ensure(layout)
    openbao.prepare(layout)
    await asyncio.to_thread(postgres.initialise, layout)
    keepers: list[Keeper] = []
    tasks: list[asyncio.Task[None]] = []

    def keep(children: list[Keeper]) -> None:
        keepers.extend(children)
        tasks.extend(asyncio.create_task(keeper.run()) for keeper in children)

    keep([Keeper(layout, child) for child in servers(layout)])
    starting = asyncio.create_task(_start_services(layout, keep))
    tending = asyncio.create_task(_tend(keepers))
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        await stop
    starting.cancel()
    tending.cancel()
    await _stop_all(keepers)


async def _start_services(layout: Layout, keep: Callable[[list[Keeper]], None]) -> None:
    await probes.wait_postgres(layout)
    await _provision(layout)
    keep([Keeper(layout, child) for child in services(layout)])
    if not openbao.finished(layout):
        await probes.wait_openbao(layout)
        openbao.mark_finished(layout)


async def _provision(layout: Layout) -> None:
    while True:
        try:
            return await postgres.provision(layout)
        except (OSError, asyncpg.PostgresConnectionError) as error:
            logger.warning("waiting for PostgreSQL", extra={"cause": repr(error)})
            await asyncio.sleep(0.2)


async def _tend(keepers: list[Keeper]) -> None:
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        for keeper in keepers:
            keeper.trim_log()


async def _stop_all(keepers: list[Keeper]) -> None:
    """The gateway and the services first and together, the servers they stand on after them."""
    ground = {"nats", "postgres", "openbao"}
    logger.info("stopping")
    await asyncio.gather(*(keeper.stop() for keeper in keepers if keeper.child.name not in ground))
    await asyncio.gather(*(keeper.stop() for keeper in keepers if keeper.child.name in ground))
    logger.info("stopped")


def main() -> None:
    layout = Layout.from_environment()
    layout.make()
    logs.configure("supervisor")
    try:
        lock = hold(layout)
    except AlreadyRunning:
        sys.exit("The platform is running already.")
    try:
        asyncio.run(supervise(layout))
    finally:
        os.close(lock)


if __name__ == "__main__":
    main()
