"""Images of the process engine: an app's code, read-only, and the manifest that says how to run it.

`images/<hex>/manifest.json` and `images/<hex>/app/`; the image's digest is the SHA-256 of the
canonical manifest, which names the source and the environment by their digests, so that the same
content always gives the same image.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.builder.detect import Plan


@dataclass(frozen=True)
class Image:
    """`digest` is "sha256:<hex>"; `existed` tells that nothing had to be made."""

    digest: str
    path: Path
    existed: bool


def canonical(manifest: dict[str, Any]) -> bytes:
    """The one way to write a manifest: sorted keys, no spaces, UTF-8."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


class Images:
    """The store of images under the data folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "images"

    def make(self, code: Path, manifest: dict[str, Any], plan: Plan, name: str) -> Image:
        """Make an image of the folder `code`, which is moved into it."""
        raw = canonical(manifest)
        digest = hashlib.sha256(raw).hexdigest()
        target = self.folder / digest
        image = Image(f"sha256:{digest}", target, existed=(target / "manifest.json").exists())
        if image.existed:
            os.utime(target / "manifest.json")  # it is in use: what nothing uses is removed
        else:
            self._make(code, raw, plan, self.folder / f".{name}", target)
        return image

    def _make(self, code: Path, raw: bytes, plan: Plan, temporary: Path, target: Path) -> None:
        temporary.mkdir(parents=True)
        try:
            for file, text in plan.extra_files.items():
                (code / file).write_text(text)
            shutil.move(code, temporary / "app")
            _close(temporary / "app")
            (temporary / "manifest.json").write_bytes(raw)
            _publish(temporary, target)
        finally:
            remove(temporary)


def remove(folder: Path) -> None:
    """Remove a folder whose folders may be read-only."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o755)
    shutil.rmtree(folder, ignore_errors=True)


def _close(folder: Path) -> None:
    """Nobody writes here any more. Files were made read-only when they were unpacked."""
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            whole = os.path.join(path, name)
            if not os.path.islink(whole) and os.stat(whole).st_mode & 0o222:
                os.chmod(whole, 0o444)
        os.chmod(path, 0o555)


def _publish(temporary: Path, target: Path) -> None:
    """Give the image its name; another builder that was faster made the same."""
    try:
        os.rename(temporary, target)
    except OSError:
        if not (target / "manifest.json").exists():
            raise
