"""Containers that a build uses once: given files and an environment, run, and perhaps committed."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiodocker import Docker, DockerError

from services.builder.child import LONGEST_LINE, OnLine
from shared.docker.archives import inputs
from shared.docker.client import in_our_words
from shared.docker.containment import locked_in
from shared.docker.handover import given, receiving
from shared.docker.names import Names
from shared.errors import Invalid
from shared.names import new_id

BUILD = ".build."
"""In the name of a container, before the job that it works for. Not a label: an image that is made
of the container would have it too, and all containers of that image."""
UID = 61_001
PROCESSES = 512
OPEN_FILES = 8192
WATCH_SECONDS = 2.0
FORSAKEN_SECONDS = 600.0
"""Nothing takes so long between being created and being started."""


@dataclass(frozen=True)
class Bounds:
    """What one container of a build may take; `disk_bytes` is what it may write."""

    memory_bytes: int
    disk_bytes: int
    cpu: float | None
    seconds: float


@dataclass(frozen=True)
class Work:
    """One thing to run. `files` and `folders` are there before it begins; folders are its own."""

    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    network: str
    files: Mapping[str, bytes | Path] = field(default_factory=dict[str, bytes | Path])
    folders: Sequence[str] = ()
    mounts: Sequence[dict[str, Any]] = ()


class Containers:
    """Runs the work of builds in containers of one engine."""

    def __init__(self, docker: Docker, names: Names, bounds: Bounds) -> None:
        self._docker = docker
        self._names = names
        self._bounds = bounds

    @asynccontextmanager
    async def working(self, attempt: str, work: Work) -> AsyncIterator[Any]:
        """A container with its files, not started; it is gone afterwards, whatever happens."""
        with in_our_words(f"The image {work.image}"):
            name = self._names.container(f"{BUILD}{attempt}.{new_id()[:8]}")
            container = await self._docker.containers.create(self._config(work), name=name)
        try:
            with in_our_words(), inputs(work.folders, work.files, UID) as files:
                await container.put_archive("/", files)
            yield container
        finally:
            with suppress(DockerError):
                await asyncio.shield(container.delete(force=True, v=True))

    async def run(
        self, container: Any, work: Work, on_line: OnLine, seconds: float | None = None
    ) -> int:
        """Start a container, hand on what it says, and return its exit status.

        Raises `Invalid` when it takes more time or disk than it may.
        """
        seconds = seconds or self._bounds.seconds
        grown = asyncio.Event()
        watch = asyncio.create_task(self._watch(container, grown))
        try:
            async with asyncio.timeout(seconds):
                with in_our_words():
                    await self._run(container, work, on_line)
                    status = (await container.wait())["StatusCode"]
        except TimeoutError as error:
            raise Invalid(
                f"The build did not finish within {seconds / 60:.0f} minutes and was "
                "ended; take something out of the requirements, or pin versions that have wheels."
            ) from error
        finally:
            watch.cancel()
        if grown.is_set():
            raise Invalid(
                f"The build wrote more than the {self._bounds.disk_bytes >> 20} MB that it may; "
                "take something out of the requirements."
            )
        return status

    async def attempts(self) -> set[str]:
        """The jobs that there are containers of."""
        with in_our_words():
            return set(await self._all())

    async def clear(self, attempts: set[str]) -> None:
        with in_our_words():
            for attempt, containers in (await self._all()).items():
                for one in containers if attempt in attempts else ():
                    await one.delete(force=True, v=True)

    async def _all(self) -> dict[str, list[Any]]:
        """Containers by the job that they work for."""
        found: dict[str, list[Any]] = {}
        begin = "/" + self._names.container(BUILD)
        for one in await self._docker.containers.list(all=True, filters=self._names.filters()):
            (name,) = one["Names"]
            if name.startswith(begin):
                attempt = name.removeprefix(begin).rpartition(".")[0]
                found.setdefault(attempt, []).append(one)
            elif one["State"] == "created" and one["Created"] < time.time() - FORSAKEN_SECONDS:
                # The engine was stopped in the middle of a build of its own, or of a start.
                found.setdefault(name, []).append(one)
        return found

    def _config(self, work: Work) -> dict[str, Any]:
        bounds = self._bounds
        return {
            "Image": work.image,
            "User": f"{UID}:{UID}",
            "WorkingDir": "/tmp",
            "Labels": self._names.labels,
            **receiving(work.command),
            "HostConfig": locked_in(
                network=work.network,
                memory_bytes=bounds.memory_bytes,
                cpu=bounds.cpu,
                processes=PROCESSES,
                open_files=OPEN_FILES,
                mounts=work.mounts,
                read_only=False,
            ),
        }

    async def _run(self, container: Any, work: Work, on_line: OnLine) -> None:
        pending = b""
        async with container.attach(stdin=True, stdout=True, stderr=True) as stream:
            await container.start()
            await stream.write_in(given(work.environment))
            while message := await stream.read_out():
                *lines, pending = (pending + message.data.replace(b"\r", b"\n")).split(b"\n")
                for line in lines:
                    _hand_on(line, on_line)
                if len(pending) > LONGEST_LINE:
                    _hand_on(pending, on_line)
                    pending = b""
        _hand_on(pending, on_line)

    async def _watch(self, container: Any, grown: asyncio.Event) -> None:
        """End the container when it has written more than it may."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            with suppress(DockerError):
                shown = await container.show(size=True)
                if shown.get("SizeRw", 0) > self._bounds.disk_bytes:
                    grown.set()
                    await container.kill()


def _hand_on(line: bytes, on_line: OnLine) -> None:
    if text := line.decode(errors="replace").rstrip():
        on_line(text[:LONGEST_LINE])
