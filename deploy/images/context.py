"""What an image is built of: one archive, the same for the same content."""

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

EPOCH = 1735689600
"""The time of every file: the beginning of 2025. The real one would tell of nothing but the day on
which the image was made."""
Files = Mapping[str, bytes | Path]
"""By the names that they have in the archive."""


def digest(files: Files) -> str:
    """SHA-256 of names, modes and contents."""
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        part = hashlib.sha256(_read(content)).hexdigest()
        whole.update(f"{_mode(content):o} {part} {name}\n".encode())
    return whole.hexdigest()


def tree(folder: Path, name: str) -> dict[str, bytes | Path]:
    """All files below a folder, by their names below `name`; what Python has compiled left out."""
    return {
        f"{name}/{path.relative_to(folder)}": path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@contextmanager
def archive(files: Files) -> Generator[IO[bytes]]:
    """A tar archive, in a file of its own for the time being."""
    with tempfile.TemporaryFile() as made:
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, content in sorted(files.items()):
                entry = tarfile.TarInfo(name)
                data = _read(content)
                entry.size, entry.mode, entry.mtime = len(data), _mode(content), EPOCH
                tar.addfile(entry, io.BytesIO(data))
        made.seek(0)
        yield made


def _read(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _mode(content: bytes | Path) -> int:
    executable = isinstance(content, Path) and content.stat().st_mode & 0o100
    return 0o755 if executable else 0o644
