"""The supervisor: one process that keeps all others running, in order.

Killed itself, it leaves its children running; the next `make up` starts another, which adopts them.
"""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Callable

import asyncpg

from deploy.embedded import credentials, gateways, openbao, postgres, probes, rest
from deploy.embedded.children import Keeper, running_pid
from deploy.embedded.layout import Layout
from deploy.embedded.platform import Child, servers, services
from shared import logs
from shared.logs import get_logger
from shared.process import stop_signals

logger = get_logger(__name__)

TRIM_SECONDS = 60.0
REST_POLL_SECONDS = 0.1


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


def is_running(layout: Layout, child: Child) -> bool:
    return running_pid(layout.run / f"{child.name}.pid") is not None


class Supervisor:
    """Keeps the servers, the services and the gateway; at a wish all but the gateway rest."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._keepers: list[Keeper] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Bring everything up in order and keep it up until SIGTERM or SIGINT.

        SIGUSR1 makes the control plane rest for as long as the process lives that asked for it.
        """
        stopping, resting = stop_signals(), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, resting.set)
        tending = asyncio.create_task(self._tend())
        while not stopping.is_set():
            await self._up_until(stopping, resting)
            if resting.is_set() and not stopping.is_set():
                await self._rest(stopping)
                resting.clear()
        tending.cancel()
        await self._adopt()
        await self._stop(lambda _: True)
        await gateways.end_workers(self._layout)

    async def _adopt(self) -> None:
        """Told to stop before all was started: what the last supervisor left stops too."""
        left = [child for child in services(self._layout) if is_running(self._layout, child)]
        self._keep(left)
        await asyncio.sleep(0)  # the keepers take over what runs in their first step

    async def _up_until(self, *events: asyncio.Event) -> None:
        """Start what does not run, then wait for one of the events."""
        credentials.ensure(self._layout)
        openbao.prepare(self._layout)
        await asyncio.to_thread(postgres.initialise, self._layout)
        self._keep(servers(self._layout))
        starting = asyncio.create_task(self._start_services())
        waits = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait({starting, *waits}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in (starting, *waits):
            task.cancel()

    async def _start_services(self) -> None:
        layout = self._layout
        await probes.wait_postgres(layout)
        await self._provision()
        self._keep(services(layout))
        if not openbao.finished(layout):
            await probes.wait_openbao(layout)
            openbao.mark_finished(layout)

    async def _provision(self) -> None:
        while True:
            try:
                return await postgres.provision(self._layout)
            except (OSError, asyncpg.PostgresConnectionError) as error:
                logger.warning("waiting for PostgreSQL", extra={"cause": repr(error)})
                await asyncio.sleep(0.2)

    def _keep(self, children: list[Child]) -> None:
        kept = {keeper.child.name for keeper in self._keepers}
        added = [Keeper(self._layout, child) for child in children if child.name not in kept]
        self._keepers += added
        self._tasks += [asyncio.create_task(keeper.run()) for keeper in added]

    async def _rest(self, stopping: asyncio.Event) -> None:
        """Stop all that writes; the gateway and the apps go on."""
        await self._stop(lambda keeper: not keeper.child.name.startswith("gateway"))
        rest.announce(self._layout)
        logger.info("resting")
        while rest.is_wanted(self._layout) and not stopping.is_set():
            await asyncio.sleep(REST_POLL_SECONDS)
        rest.forget(self._layout)

    async def _stop(self, which: Callable[[Keeper], bool]) -> None:
        """The gateway and the services first and together, what they stand on after them."""
        chosen = [keeper for keeper in self._keepers if which(keeper)]
        self._keepers = [keeper for keeper in self._keepers if keeper not in chosen]
        ground = {"nats", "postgres", "openbao"}
        for below in (False, True):
            part = [keeper for keeper in chosen if (keeper.child.name in ground) == below]
            await asyncio.gather(*(keeper.stop() for keeper in part))
        logger.info("stopped", extra={"children": [keeper.child.name for keeper in chosen]})

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            for keeper in self._keepers:
                keeper.trim_log()


def main() -> None:
    layout = Layout.from_environment()
    layout.make()
    logs.configure("supervisor")
    try:
        lock = hold(layout)
    except AlreadyRunning:
        sys.exit("The platform is running already.")
    try:
        asyncio.run(Supervisor(layout).run())
    finally:
        os.close(lock)


if __name__ == "__main__":
    main()
