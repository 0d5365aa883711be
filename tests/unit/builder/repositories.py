"""Small repositories for the tests of the builder."""

import io
import tarfile
from pathlib import Path


def write(folder: Path, **files: str) -> Path:
    """Write files; "__" in a name stands for a dot, "___" for a slash."""
    for name, text in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """A tar with exactly these members."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    return info
