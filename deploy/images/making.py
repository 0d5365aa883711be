"""Making images, each after the one it is built on, and only those that are not there yet."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deploy.images import debian, mirrors, trouble, wheels
from deploy.images.catalogue import ROOT, VERSION, Image, named
from deploy.images.context import Files, archive, digest, tree
from deploy.images.engine import BuildError, Engine
from deploy.images.settings import ImageSettings, proxies
from shared.errors import Invalid, Unavailable

INPUTS = "moorage.inputs"
"""Label of an image: a digest of everything that decided its content."""
LOGS = ROOT / ".build" / "images"
PYTHON = "3.11"
"""For packages of the lowest image, which serve any."""
ASK_PYTHON = ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
Say = Callable[[str], None]


class Maker:
    """Makes images in one engine; with `again` even those that are there."""

    def __init__(self, engine: Engine, settings: ImageSettings, again: bool, say: Say) -> None:
        self._engine = engine
        self._settings = settings
        self._again = again
        self._say = say
        self._architecture = engine.architecture
        self._made: dict[str, str] = {}
        LOGS.mkdir(parents=True, exist_ok=True)

    def make(self, image: Image) -> str:
        """The id of an image, which is there afterwards. Raises `Unavailable`."""
        if image.name not in self._made:
            self._made[image.name] = self._ensure(image)
        return self._made[image.name]

    def _ensure(self, image: Image) -> str:
        parent = self.make(named(image.parent)) if image.parent else None
        files = image.files(self._settings)
        below = parent or self._settings.image_base or self._debian()
        inputs = inputs_of(image, files, below, self._architecture)
        found = self._engine.find(image.tag)
        if found and not self._again and _label(found) == inputs:
            self._say(f"{image.tag:28} unchanged")
            return found["Id"]
        started = time.monotonic()
        self._build(image, files, parent, {**self._labels(image), INPUTS: inputs})
        made = self._engine.find(image.tag)
        if made is None:
            raise Unavailable(f"Docker's engine has lost {image.tag} again; try once more.")
        if found:
            self._engine.remove(found["Id"])
        size, seconds = made["Size"] / 1e6, time.monotonic() - started
        self._say(f"{image.tag:28} made in {seconds:.0f} s, {size:.0f} MB")
        return made["Id"]

    def _debian(self) -> list[str]:
        settings = self._settings
        sources = mirrors.sources(settings.debian_mirror, settings.security_mirror)
        return debian.arguments(sources, self._architecture)

    def _root(self) -> str:
        """What the lowest image is built on: one of a registry, or Debian made here."""
        if self._settings.image_base:
            return self._settings.image_base
        if not self._settings.debian_mirror:
            raise Invalid(
                "This machine's packages are not those of Debian 12: name a mirror of them in "
                "MOORAGE_DEBIAN_MIRROR, or an image to build on in MOORAGE_IMAGE_BASE."
            )
        self._say(f"Debian's packages come from {self._settings.debian_mirror}")
        with tempfile.TemporaryDirectory(prefix="moorage-images-") as scratch:
            root = Path(scratch) / "debian.tar"
            debian.make(self._debian(), root, LOGS / "debian.log")
            return self._engine.load(root)

    def _build(
        self, image: Image, files: Files, parent: str | None, labels: Mapping[str, str]
    ) -> None:
        log = LOGS / f"{image.name}.log"
        log.unlink(missing_ok=True)
        try:
            with tempfile.TemporaryDirectory(prefix="moorage-images-") as scratch:
                if requirements := image.requirements():
                    files = {**files, **self._fetch(requirements, parent, Path(scratch), log)}
                below = parent or self._root()
                with archive(files) as whole, log.open("a") as written:
                    say = partial(print, end="", file=written, flush=True)
                    # Arguments that every Dockerfile knows, and no image remembers.
                    arguments = {"PARENT": below, **proxies(os.environ)}
                    self._engine.build(whole, image.tag, labels, arguments, self._again, say)
        except BuildError as error:
            with log.open("a") as written:
                print(f"E: {error}", file=written)
            raise trouble.explained(f"{image.tag} cannot be made", log) from error

    def _fetch(self, requirements: str, parent: str | None, scratch: Path, log: Path) -> Files:
        python = self._engine.run(parent, ASK_PYTHON).strip() if parent else PYTHON
        wheels.fetch(requirements, python, self._architecture, scratch, log)
        return tree(scratch / "packages", "packages") | tree(scratch / "programs", "programs")

    def _labels(self, image: Image) -> dict[str, str]:
        parent = named(image.parent).tag if image.parent else self._settings.image_base
        base = parent or f"debian:{mirrors.SUITE}"
        return {
            "org.opencontainers.image.title": f"Moorage: {image.title}",
            "org.opencontainers.image.version": VERSION,
            "org.opencontainers.image.created": datetime.now(UTC).isoformat(timespec="seconds"),
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.base.name": base,
        }


def inputs_of(image: Image, files: Files, below: str | list[str], architecture: str) -> str:
    """A digest of everything that decides an image's content; `below` is what it is built on."""
    decided = [below, architecture, digest(files), image.requirements(), VERSION]
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()


def _label(found: Mapping[str, Any]) -> str | None:
    return (found["Config"]["Labels"] or {}).get(INPUTS)
