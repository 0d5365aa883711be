"""The source of an app: fetched, checked against its digest, unpacked with nothing believed.

The archive is made by the platform, but what is in it is somebody's repository: every name and link
is checked here, by hand, so that an older Python's `tarfile` does as well as a newer one's.
"""

import hashlib
import os
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Invalid
from shared.names import printable

LONGEST_PATH = 1024
LONGEST_NAME = 255
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """The most that a repository may hold, unpacked."""

    size: int
    files: int


def check_digest(path: Path, expected: str) -> None:
    """Raise `Invalid` unless the file's SHA-256 is `expected`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise Invalid("The source was damaged on its way to the builder; push again.")


def unpack(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack into the new folder `folder`. Raises `Invalid` naming what may not be there."""
    folder.mkdir()
    taken = _Taken(limits)
    links: list[tuple[str, str]] = []
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in _members(tar):
                path = _checked_path(member.name)
                if path == ".":
                    continue
                taken.add(member)
                _unpack_member(tar, member, folder / path, links, path)
    except (tarfile.TarError, EOFError) as error:
        raise Invalid("The source archive cannot be read; push again.") from error
    # Links come last, so that no file is ever written through one.
    for path, target in links:
        _link(folder, path, target)


def has_submodules(folder: Path) -> bool:
    return (folder / ".gitmodules").is_file()


@dataclass
class _Taken:
    """How much has been unpacked so far."""

    limits: Limits
    size: int = 0
    files: int = 0

    def add(self, member: tarfile.TarInfo) -> None:
        self.files += 1
        self.size += max(member.size, 0)
        if self.files > self.limits.files:
            raise Invalid(
                f"The repository holds more than {self.limits.files:,} files; take out what the "
                "app does not need, such as environments and data."
            )
        if self.size > self.limits.size:
            raise Invalid(
                f"The repository holds more than {self.limits.size // 2**20:,} MiB; take out what "
                "the app does not need, such as data."
            )


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members one by one; `tarfile` itself would remember all of them."""
    while (member := tar.next()) is not None:
        yield member
        tar.members = []  # pyright: ignore[reportAttributeAccessIssue]


def _checked_path(name: str) -> str:
    """A relative path that stays inside, "." for the top."""
    shown = printable(name)
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name or "\\" in parts[0][1:2]:
        raise Invalid(f"The repository has a path that leads outside of it ('{shown}'); remove it.")
    if len(name.encode()) > LONGEST_PATH or any(
        len(part.encode()) > LONGEST_NAME for part in parts
    ):
        raise Invalid(
            f"The repository has a path that is too long ('{shown}'): use at most {LONGEST_PATH} "
            f"bytes in all and {LONGEST_NAME} for one name."
        )
    return posixpath.normpath(name)


def _unpack_member(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    target: Path,
    links: list[tuple[str, str]],
    path: str,
) -> None:
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
    elif member.issym():
        links.append((path, member.linkname))
    elif member.isreg():
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(tar, member, target)
    else:
        raise Invalid(
            f"'{printable(member.name)}' is neither a file nor a folder nor a symbolic link; "
            "remove it from the repository."
        )


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    assert source
    mode = 0o555 if member.mode & 0o100 else 0o444
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        handle = os.open(target, flags, mode)
    except FileExistsError as error:
        raise Invalid(
            f"The repository has '{printable(member.name)}' twice; remove one."
        ) from error
    with source, os.fdopen(handle, "wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
        os.fchmod(file.fileno(), mode)


def _link(folder: Path, path: str, target: str) -> None:
    """Make one symbolic link, if where it leads is inside of the repository."""
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    root = folder.resolve()
    place = folder / path
    outside = target.startswith("/") or whole == ".." or whole.startswith("../")
    if not outside:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Other links may stand in the way of both ends, so the real places count.
        outside = not place.parent.resolve().is_relative_to(root)
        outside = outside or not (place.parent / target).resolve().is_relative_to(root)
    if outside:
        raise Invalid(
            f"The symbolic link '{printable(path)}' leads out of the repository "
            f"('{printable(target)}'); make it a file, or let it lead inside."
        )
    try:
        os.symlink(target, place)
    except FileExistsError as error:
        raise Invalid(f"The repository has '{printable(path)}' twice; remove one.") from error
