"""Archives for the engine: what a container is given, and what an image is built of."""

import io
import tarfile
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

Files = Mapping[str, bytes | Path]


@contextmanager
def inputs(folders: Sequence[str], files: Files, uid: int) -> Generator[IO[bytes]]:
    """To be unpacked in a container: folders, and files in folders, that belong to `uid`."""
    above = {str(parent) for file in files for parent in PurePosixPath(file).parents}
    with tempfile.TemporaryFile() as made:
        with tarfile.open(fileobj=made, mode="w") as tar:
            for folder in sorted({*folders, *above} - {"/"}):
                entry = tarfile.TarInfo(folder.lstrip("/"))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                entry.uid = entry.gid = uid
                tar.addfile(entry)
            _add(tar, files)
        made.seek(0)
        yield made


@contextmanager
def context(files: Files, folder: Path, name: str) -> Generator[IO[bytes]]:
    """What an image is built of: files, and a folder under the name that it has there.

    Owners and times are left out, so that the same content is always the same archive.
    """
    with tempfile.TemporaryFile() as made:
        with tarfile.open(fileobj=made, mode="w") as tar:
            _add(tar, files)
            tar.add(folder, arcname=name, filter=_plain)
        made.seek(0)
        yield made


def _add(tar: tarfile.TarFile, files: Files) -> None:
    for name, content in files.items():
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.mode = 0o644
        with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as file:
            entry.size = file.seek(0, io.SEEK_END)
            file.seek(0)
            tar.addfile(entry, file)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry
