"""Sources: the files of a pushed commit as one tar archive, stored once under its digest."""

import asyncio
import fcntl
import hashlib
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.git_ingest import store
from services.git_ingest.trees import size_text
from shared.bus import ObjectStore
from shared.database import Database
from shared.errors import Invalid
from shared.logs import get_logger

logger = get_logger(__name__)

SWEEP_SECONDS = 900.0


@dataclass(frozen=True)
class Source:
    """A packed source on disk. `digest` is the SHA-256 of the archive, `size` its bytes."""

    path: Path
    digest: str
    size: int

    @property
    def object_name(self) -> str:
        return f"sources/{self.digest}.tar"


class Spool:
    """The folder for archives on their way from git to the object store."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    @asynccontextmanager
    async def slot(self) -> AsyncIterator["Slot"]:
        """A file for one archive; it is gone when the block ends."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="source-") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield Slot(file, self._max_bytes)

    def clear_abandoned(self) -> None:
        """Remove what a process that was killed left behind: files that nobody locks."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._folder.glob("source-*"):
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


class Slot:
    """A file that takes one archive."""

    def __init__(self, file: Any, max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes

    async def fill(self, chunks: AsyncIterator[bytes]) -> Source:
        """Write and hash an archive as it comes. Raises `Invalid` when it grows too large."""
        digest = hashlib.sha256()
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self._max_bytes:
                raise Invalid(
                    f"The pushed files take more than {size_text(self._max_bytes)} when unpacked;"
                    " keep large data outside of the repository."
                )
            await asyncio.to_thread(_write, self._file, digest, chunk)
        await asyncio.to_thread(self._file.flush)
        return Source(Path(self._file.name), digest.hexdigest(), size)


def links_in(path: Path) -> dict[str, str]:
    """The symbolic links in an archive: path to target. Reads headers only."""
    found: dict[str, str] = {}
    with tarfile.open(path, "r:") as archive:
        while member := archive.next():
            if member.issym():
                found[member.name] = member.linkname
            archive.members = []  # type: ignore[attr-defined]  # or it keeps every header
    return found


class SourceStore:
    """Sources in the object store: put when a push needs them, dropped when none did for long."""

    def __init__(self, database: Database, objects: ObjectStore, keep_days: float) -> None:
        self._database = database
        self._objects = objects
        self._keep_days = keep_days

    async def put(self, source: Source) -> None:
        """Store `source` unless it is there. Raises `Unavailable`."""
        if not await self._objects.exists(source.object_name):
            await self._objects.put(source.object_name, source.path)

    async def sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except Exception:
                logger.exception("sources could not be swept")

    async def sweep(self) -> None:
        """Delete the sources whose last push ended long ago."""
        for digest in await store.stale_sources(self._database, self._keep_days):
            async with self._database.transaction() as tx:
                await self._drop(tx, digest)

    async def _drop(self, tx: Any, digest: str) -> None:
        # A push takes the same lock when it names its source, so none can rely on this one now.
        await store.lock_source(tx, digest)
        if await store.drop_source(tx, digest, self._keep_days):
            await self._objects.delete(f"sources/{digest}.tar")


def _write(file: Any, digest: Any, chunk: bytes) -> None:
    file.write(chunk)
    digest.update(chunk)
