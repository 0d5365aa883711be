"""Backup and restore of the whole platform, as files.

While the control plane rests nothing writes, so one archive holds the database, the secret store,
the bus, repositories, images and environments as of one moment; the gateway and the apps go on. An
app that writes into its data folder meanwhile is not waited for.
"""

import asyncio
import json
import os
import tarfile
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from deploy.embedded import probes, rest
from deploy.embedded.layout import Layout

LABEL = "moorage-backup.json"
VERSION = 1
LEFT_OUT = {"run", "logs", "uv-cache", "builds"}
"""What is made again by itself."""
REST_SECONDS = 60.0
COMPRESSION = 1


class BackupError(Exception):
    """The message says what to do."""


async def write(layout: Layout, file: Path, supervisor: int | None) -> int:
    """Write a backup to `file` (mode 0600); its size in bytes. Raises `BackupError` or `OSError`.

    `supervisor` is the pid of the one that runs, None when the platform is down.
    """
    if not layout.keys.is_dir():
        raise BackupError(f"There is no platform in {layout.home}; set MOORAGE_HOME to its folder.")
    if file.is_relative_to(layout.home):
        raise BackupError(f"Write the backup outside of {layout.home}, which it is a copy of.")
    if supervisor is not None:
        rest.ask(layout, supervisor)
        await _resting(layout)
    try:
        return await asyncio.to_thread(_pack, layout.home, file)
    finally:
        rest.end(layout)
        if supervisor is not None:
            await probes.wait_for("the end of the rest", lambda: _is_over(layout), REST_SECONDS)


def read(layout: Layout, file: Path, supervisor: int | None) -> None:
    """Unpack the backup `file` into the data folder, which must hold no platform yet."""
    if supervisor is not None:
        raise BackupError("The platform is running; stop it with 'make down' first.")
    if layout.keys.exists():
        raise BackupError(
            f"{layout.home} holds a platform already; move it away, or set MOORAGE_HOME to an "
            "empty folder."
        )
    try:
        with tarfile.open(file) as archive:
            _check_label(archive)
            layout.home.mkdir(parents=True, exist_ok=True)
            archive.extractall(layout.home, members=_members(archive), numeric_owner=True)
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{file} is no backup of this platform ({error}).") from error


async def _resting(layout: Layout) -> None:
    async def resting() -> bool:
        return rest.is_resting(layout)

    await probes.wait_for("the rest of the control plane", resting, REST_SECONDS)


async def _is_over(layout: Layout) -> bool:
    return not rest.is_resting(layout)


def _pack(home: Path, file: Path) -> int:
    partial = file.with_name(file.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with (
            os.fdopen(descriptor, "wb") as raw,
            tarfile.open(fileobj=raw, mode="w:gz", compresslevel=COMPRESSION) as archive,
        ):
            _label(archive)
            for entry in sorted(home.iterdir()):
                if entry.name not in LEFT_OUT:
                    archive.add(entry, arcname=entry.name, filter=_wanted)
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
    return file.stat().st_size


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Instances' logs are left out; so is what is neither a file, a folder nor a link."""
    parts = member.name.split("/")
    if parts[0] == "apps" and len(parts) > 2 and parts[2] == "logs":
        return None
    return member if member.isfile() or member.isdir() or member.islnk() or member.issym() else None


def _label(archive: tarfile.TarFile) -> None:
    text = json.dumps({"version": VERSION, "time": datetime.now(UTC).isoformat()}).encode()
    member = tarfile.TarInfo(LABEL)
    member.size = len(text)
    archive.addfile(member, BytesIO(text))


def _check_label(archive: tarfile.TarFile) -> None:
    first = archive.next()
    content = archive.extractfile(first) if first and first.name == LABEL else None
    if content is None:
        raise BackupError("This file is no backup of this platform: its label is missing.")
    version = json.load(content)["version"]
    if version != VERSION:
        raise BackupError(f"This backup has version {version}; this platform reads {VERSION}.")


def _members(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Everything but the label; a name that leads outside makes the file no backup of ours."""
    members = [member for member in archive.getmembers() if member.name != LABEL]
    for member in members:
        if member.name.startswith("/") or ".." in member.name.split("/"):
            raise BackupError("This file is no backup of this platform: a name leads outside.")
    return members
