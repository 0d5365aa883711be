"""Starting one instance and seeing it healthy, for rollouts and for the reconciler alike."""

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from services.scheduler import health, store
from services.scheduler.config import Config, ConfigReader
from services.scheduler.engines.protocol import (
    LOOPBACK,
    Engine,
    ImageManifest,
    InstanceSpec,
    Limits,
    host_of,
)
from services.scheduler.environment import environment_of
from services.scheduler.settings import SchedulerSettings
from shared.database import Database
from shared.errors import MoorageError

FIRST_POLLS_SECONDS = 0.03
LATER_POLLS_SECONDS = 0.25
SAY_SECONDS = 5.0
ASK_SECONDS = 0.5
WORKER_STEADY_SECONDS = 1.0
"""A process that answers nothing (a worker) counts as up when it has run so long."""
LAST_LINES = 40
MOST_ENDED = 10
"""Processes of one instance that may end while it starts; a healthy start has a helper or two."""

Say = Callable[[str], Awaitable[None]]


class NotHealthy(MoorageError):
    """The instance did not come up; `lines` are the last that the app said."""

    def __init__(self, detail: str, lines: list[str]) -> None:
        super().__init__(detail)
        self.lines = lines


class NotWanted(MoorageError):
    """Whoever asked for this instance does not want it any more."""


@dataclass
class Churn:
    """Notices a server that starts its workers again and again while the app cannot be loaded.

    gunicorn does so for ever when the app exits by itself; waiting on would help nobody.
    """

    seen: set[int] = field(default_factory=set[int])
    ended: set[int] = field(default_factory=set[int])

    def hopeless(self, processes: set[int]) -> bool:
        """Take in the processes there are now; True when too many have come and gone."""
        self.ended |= self.seen - processes
        self.seen |= processes
        return len(self.ended) >= MOST_ENDED


@dataclass(frozen=True)
class Starter:
    """What it takes to start instances."""

    engine: Engine
    database: Database
    reader: ConfigReader
    settings: SchedulerSettings

    async def start(self, instance: Any, release: Any, config: Config) -> dict[str, Any]:
        """Start the process of a row and note its reference. Raises what the engine raises."""
        manifest = await self.engine.image(release["image"])
        while await self._port_is_lost(instance):
            # Somebody outside the platform has it.
            port = await store.change_port(self.database, instance["instance"])
            instance = {**instance, "port": port}
        reference = await self.engine.start(self._spec(instance, release, manifest, config))
        await store.set_reference(self.database, instance["instance"], reference)
        return {**instance, "reference": reference}

    async def _port_is_lost(self, instance: Any) -> bool:
        """Has somebody else the port? The instance itself may, when its start is done again."""
        port = instance["port"]
        if port is None or not self.engine.shares_network or port_is_free(port):
            return False
        return instance["instance"] not in await self.engine.adopt()

    async def wait_healthy(
        self,
        instance: Any,
        manifest: ImageManifest,
        say: Say,
        check_wanted: Callable[[], Awaitable[None]],
    ) -> float:
        """Seconds until the instance was healthy.

        Raises `NotHealthy` when it ended or did not answer in time, `NotWanted` when
        `check_wanted` does.
        """
        began = said = asked = time.monotonic()
        churn = Churn()
        while True:
            status = await self.engine.poll(instance["reference"])
            if status.state != "running":
                raise await self._ended(instance, status)
            wrong = await self._wrong(instance, manifest, time.monotonic() - began)
            waited = time.monotonic() - began
            if wrong is None:
                return waited
            if churn.hopeless(await self.engine.processes(instance["reference"])):
                raise await self._churning(instance, churn, waited)
            if waited > self.settings.health_timeout:
                raise await self._silent(instance, wrong)
            if time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                await say(f"       waiting for the app to answer: {waited:.0f} s ({wrong})")
            if time.monotonic() - asked > ASK_SECONDS:
                asked = time.monotonic()
                await check_wanted()
            await asyncio.sleep(FIRST_POLLS_SECONDS if waited < 3 else LATER_POLLS_SECONDS)

    def _spec(
        self, instance: Any, release: Any, manifest: ImageManifest, config: Config
    ) -> InstanceSpec:
        settings = self.settings
        return InstanceSpec(
            instance=instance["instance"],
            app=instance["app"],
            process_type=instance["process_type"],
            image=release["image"],
            command=manifest.process_types[instance["process_type"]],
            environment=environment_of(
                instance,
                manifest.prefix_env,
                config.values,
                settings.public_url,
                self.engine.bind,
            ),
            port=instance["port"],
            limits=limits_of(settings),
        )

    async def _wrong(self, instance: Any, manifest: ImageManifest, waited: float) -> str | None:
        """None when the instance is up, else what is wrong, as half a sentence."""
        port = instance["port"]
        if port is None:
            return None if waited >= WORKER_STEADY_SECONDS else "it has only just started"
        name = urlsplit(self.settings.public_url).netloc
        address = host_of(instance["reference"]), port
        wrong = await health.answers(manifest, instance["app"], address, name)
        if wrong or not self.engine.shares_network or port in await self._ports(instance):
            return wrong
        return f"something else on this machine answers on port {port}"

    async def _ports(self, instance: Any) -> list[int]:
        return [port for _, port in await self.engine.listening(instance["reference"])]

    async def _elsewhere(self, instance: Any) -> str:
        """What the app listens on, if it is not what it must listen on, as half a sentence."""
        port, bind = instance["port"], self.engine.bind
        found = await self.engine.listening(instance["reference"])
        if not found:
            return ""
        if port not in [other for _, other in found]:
            return (
                f"on port {found[0][1]} and must listen on the one in the environment variable "
                f"PORT ({port})"
            )
        if bind != LOOPBACK and (LOOPBACK, port) in found:
            return (
                f"on {LOOPBACK} and must listen on the address in the environment variable "
                f"HOST ({bind})"
            )
        return ""

    async def _ended(self, instance: Any, status: Any) -> NotHealthy:
        lines = await self.engine.last_lines(instance["instance"], LAST_LINES)
        how = f"exit status {status.exit_code}" if status.exit_code is not None else status.reason
        return NotHealthy(
            f"The app's {instance['process_type']} process ended at once ({how}).", lines
        )

    async def _churning(self, instance: Any, churn: "Churn", waited: float) -> NotHealthy:
        lines = await self.engine.last_lines(instance["instance"], LAST_LINES)
        return NotHealthy(
            f"The app exits again and again: {len(churn.ended)} of its processes ended within "
            f"{waited:.0f} s.",
            lines,
        )

    async def _silent(self, instance: Any, wrong: str) -> NotHealthy:
        lines = await self.engine.last_lines(instance["instance"], LAST_LINES)
        seconds = f"{self.settings.health_timeout:.0f} s"
        if elsewhere := await self._elsewhere(instance):
            return NotHealthy(
                f"The app listens {elsewhere}; nothing answered there within {seconds}.", lines
            )
        return NotHealthy(f"The app did not get healthy within {seconds}: {wrong}.", lines)


def limits_of(settings: SchedulerSettings) -> Limits:
    """What every instance and one-off run may use."""
    megabytes = settings.memory_limit_mb
    return Limits(
        memory_bytes=megabytes * 1024 * 1024 if megabytes else None,
        cpu=settings.cpu_limit,
        processes=settings.process_limit,
        open_files=settings.open_files_limit,
    )


def port_is_free(port: int) -> bool:
    """May an app listen on 127.0.0.1:`port`?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True
