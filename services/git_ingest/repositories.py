"""The bare repositories on disk."""

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from services.git_ingest.environment import git_environment
from shared.errors import Unavailable
from shared.logs import get_logger
from shared.names import check_app_name, new_id

logger = get_logger(__name__)

SWEEP_SECONDS = 60.0
ABANDONED_SECONDS = 3600.0
LOCK = "moorage.lock"
QUARANTINES = "objects/tmp_objdir-*"


class Repositories:
    """Makes, finds and removes repositories under one folder. Folders of ours begin with a dot,
    which no app's name does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, app: str) -> Path:
        """Where the app's repository is; `Invalid` when this cannot be an app."""
        return self.folder / f"{check_app_name(app)}.git"

    async def ensure(self, app: str) -> Path:
        """The app's repository, made now if it is not there. Raises `Unavailable`."""
        path = self.path(app)
        if path.exists():
            return path
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.folder / f".new-{new_id()}"
        try:
            await self._git(fresh, "init", "--quiet", "--bare", "--template=", "-b", "main", fresh)
            fresh.rename(path)
        except OSError:
            if not path.exists():  # or another process was faster
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return path

    def set_aside(self, app: str) -> None:
        """Take the repository away at once; the sweep deletes it."""
        try:
            self.path(app).rename(self.folder / f".deleted-{app}-{new_id()}")
        except FileNotFoundError:
            return

    @asynccontextmanager
    async def in_use(self, app: str) -> AsyncIterator[int]:
        """Hold the repository while something is pushed to it; yields the file to hand on.

        The lock (flock(2)) lives as long as any process that has the file open, so git keeps it
        even when we are killed, and the sweep takes away only what no living git works on.
        """
        file = os.open(self.path(app) / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_SH)
            yield file
        finally:
            os.close(file)

    async def tip(self, app: str, ref: str) -> str | None:
        """The commit that `ref` points to, None when there is no such ref."""
        path = self.path(app)
        found = await self._git(path, "for-each-ref", "--format=%(objectname)", ref)
        return found.strip() or None

    async def point_head(self, app: str, branch: str) -> None:
        """Let clones check out `branch`."""
        await self._git(self.path(app), "symbolic-ref", "HEAD", f"refs/heads/{branch}")

    async def sweep_for_ever(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.sweep)
            except OSError:
                logger.exception("deleted repositories could not be removed")
            await asyncio.sleep(SWEEP_SECONDS)

    def sweep(self) -> None:
        """Remove deleted repositories, and what a killed process left half done."""
        for path in self.folder.glob(".deleted-*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(".new-*"):
            if _age(path) > ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        for app in {found.parts[-3] for found in self.folder.glob(f"*.git/{QUARANTINES}")}:
            self.tidy(app.removesuffix(".git"))

    def tidy(self, app: str) -> None:
        """Remove what refused pushes left in a repository, unless a push is under way there now."""
        repository = self.path(app)
        with suppress(BlockingIOError, FileNotFoundError), (repository / LOCK).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in repository.glob(QUARANTINES):
                shutil.rmtree(path, ignore_errors=True)

    async def _git(self, repository: Path, *arguments: str | os.PathLike[str]) -> str:
        child = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=repository if repository.exists() else self.folder,
            env=git_environment(repository),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await child.communicate()
        if child.returncode:
            logger.error("git failed", extra={"stderr": errors.decode(errors="replace")[:500]})
            raise Unavailable("The repository cannot be read at the moment; try again in a minute.")
        return output.decode(errors="replace")


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
