"""What git_ingest does, as far as the builder knows it: stores a source, says it was pushed."""

import asyncio
import hashlib
import io
import tarfile
import time
from pathlib import Path
from typing import Any

from shared.bus import Bus
from shared.database import Database
from shared.events import Event, new_event
from shared.events.catalogue import AppPushed
from shared.names import new_id


async def eventually(read: Any, wanted: Any, seconds: float = 20.0) -> Any:
    """Poll until `wanted(await read())` is true; what was read."""
    deadline = time.monotonic() + seconds
    while not wanted(found := await read()):
        assert time.monotonic() < deadline, f"still {found!r}"
        await asyncio.sleep(0.02)
    return found


def pushed(app: str = "sales", source: str = "0" * 64, deploy_id: str | None = None) -> AppPushed:
    return AppPushed(
        app=app,
        deploy_id=deploy_id or new_id(),
        source=source,
        size=1,
        commit="c" * 40,
        branch="main",
        author="Ada <ada@example.com>",
        message="Say hello",
        pusher="ada",
    )


def tar(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Pusher:
    """Pushes over the bus with git_ingest's own permissions, and hears the progress."""

    def __init__(self, bus: Bus, folder: Path) -> None:
        self.bus = bus
        self._folder = folder
        self.lines: dict[str, list[str]] = {}

    async def push(self, app: str, files: dict[str, str]) -> str:
        """The deploy's id."""
        raw = tar(files)
        digest = hashlib.sha256(raw).hexdigest()
        path = self._folder / digest
        path.write_bytes(raw)
        await self.bus.objects.put(f"sources/{digest}.tar", path)
        event = pushed(app, digest)
        said = self.lines.setdefault(event.deploy_id, [])
        await self.bus.on_progress(event.deploy_id, said.append)
        await self.bus.publish(new_event("git_ingest", event))
        return event.deploy_id


async def build_of(database: Database, deploy_id: str) -> Any:
    return await database.fetchrow("select * from builds where deploy_id = $1", deploy_id)


async def ended(database: Database, deploy_id: str, seconds: float = 30.0) -> Any:
    """The row of a build that has ended."""
    return await eventually(
        lambda: build_of(database, deploy_id),
        lambda row: row and row["state"] not in ("queued", "running"),
        seconds,
    )


async def published(database: Database, deploy_id: str) -> list[Event]:
    """Events of this deploy in the builder's outbox, in order."""
    rows = await database.fetch("select envelope from outbox order by position")
    events = [Event.parse(row["envelope"]) for row in rows]
    return [event for event in events if event.data.deploy_id == deploy_id]
