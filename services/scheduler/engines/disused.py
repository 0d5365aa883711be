"""Images and environments of the process engine that nothing needs any more.

Whoever uses one again writes its last file anew (`manifest.json`, `ready`): its time is the time of
the last use.
"""

import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from services.scheduler.engines.protocol import ImageManifest


def remove(home: Path, needed: Collection[str], seconds: float) -> int:
    """Remove images not in `needed` and environments of no image that is left; how many."""
    before = time.time() - seconds
    images = [
        path
        for path in _whole(home / "images", "manifest.json", before)
        if f"sha256:{path.name}" not in needed
    ]
    for path in images:
        _remove(path)
    used = {_environment(path) for path in (home / "images").glob("*/manifest.json")}
    environments = [
        path for path in _whole(home / "environments", "ready", before) if path.name not in used
    ]
    for path in environments:
        _remove(path)
    return len(images) + len(environments)


def _whole(store: Path, last: str, before: float) -> Iterator[Path]:
    """Folders of a store that were used last before a time; half-made ones are the builder's."""
    for path in store.glob(f"[!.]*/{last}"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                yield path.parent


def _environment(manifest: Path) -> str:
    try:
        return ImageManifest.model_validate_json(manifest.read_bytes()).environment
    except (OSError, ValidationError):
        return ""


def _remove(folder: Path) -> None:
    """Under another name first: nobody shall find half of it."""
    gone = folder.with_name(f".gone-{folder.name}")
    with suppress(FileNotFoundError):
        os.rename(folder, gone)
    for path, _, _ in os.walk(gone):
        os.chmod(path, 0o755)
    shutil.rmtree(gone, ignore_errors=True)
