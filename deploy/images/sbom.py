"""`python -m deploy.images.sbom`: what is in each image, as a CycloneDX bill in `.build/sbom`.

debsbom reads Debian's own list of packages and cyclonedx-py what Python's packages say of
themselves, both out of the finished image. They live in an environment of their own.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

import uv

from deploy.images import trouble, wheels
from deploy.images.catalogue import HERE, IMAGES, ROOT, VERSION, Image, named
from deploy.images.context import digest
from deploy.images.engine import Engine
from deploy.images.settings import ImageSettings
from shared.errors import MoorageError, Unavailable

FOLDER = ROOT / ".build" / "sbom"
LOCK = HERE / "sbom.lock"
DEBIAN = ("/var/lib/dpkg/status", "/var/lib/dpkg/arch", "/usr/share/doc")
PYTHON = "/opt/python"
_METADATA = re.compile(r"[^/]+\.dist-info/[A-Z]+")


class Bills:
    """Writes the bills of one engine's images."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tools = FOLDER / "tools"
        self._log = FOLDER / "log"
        (FOLDER / "parts").mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        self._read: dict[str, dict[str, bytes]] = {}

    def ensure(self, image: Image) -> str:
        """Write the bill of an image unless there is one of that very image; the sentence to say.

        Raises `Unavailable`.
        """
        target = FOLDER / f"{image.name}.cdx.json"
        shown = target.relative_to(ROOT)
        if (found := self._engine.find(image.tag)) is None:
            raise Unavailable(f"There is no image {image.tag}; make it with 'make images'.")
        number = str(uuid.uuid5(uuid.NAMESPACE_OID, found["Id"]))
        if target.exists() and number in _number(target):
            return f"{shown} unchanged"
        self._install_tools()
        with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
            self._write(image, number, Path(scratch)).replace(target)
        return f"{shown} written"

    def _write(self, image: Image, number: str, scratch: Path) -> Path:
        self._run(
            "debsbom", "merge", "--omit-roots", "--sbom-type", "cdx",
            "--distro-name", f"moorage/{image.name}", "--distro-version", VERSION,
            "--cdx-serialnumber", number, "--out", str(scratch / "whole.cdx.json"),
            str(self._debian(image, scratch)), str(self._python(image, scratch)),
        )  # fmt: skip
        return scratch / "whole.cdx.json"

    def _debian(self, image: Image, scratch: Path) -> Path:
        files = {
            str(Path(path).parent / name).lstrip("/"): content
            for path in DEBIAN
            for name, content in self._engine.read(image.tag, path).items()
        }
        part = self._part(files)
        if not part.exists():
            root, made = scratch / "root", scratch / "debian.cdx.json"
            _put(root, files)
            self._run(
                "debsbom", "generate", "--sbom-type", "cdx", "--with-licenses",
                "--root", str(root), "--out", str(made),
            )  # fmt: skip
            made.replace(part)
        return part

    def _python(self, image: Image, scratch: Path) -> Path:
        """The packages' own descriptions are enough, in what looks like an environment."""
        files = self._metadata(_installed_in(image).tag)
        part = self._part(files)
        if not part.exists():
            environment, made = scratch / "environment", scratch / "python.cdx.json"
            self._uv("venv", "--quiet", "--no-project", str(environment))
            (site,) = environment.glob("lib/python3*/site-packages")
            _put(site, files)
            self._run(
                "cyclonedx-py", "environment", "--pyproject", str(ROOT / "pyproject.toml"),
                "--output-file", str(made), str(environment),
            )  # fmt: skip
            made.replace(part)
        return part

    def _part(self, files: Mapping[str, bytes]) -> Path:
        """Where that part of a bill is kept, for all images that have the same in them."""
        tools = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:8]
        return FOLDER / "parts" / f"{digest(files)}-{tools}.cdx.json"

    def _metadata(self, tag: str) -> dict[str, bytes]:
        if tag not in self._read:
            files = self._engine.read(tag, PYTHON).items()
            inside = ((name.partition("/")[2], content) for name, content in files)
            self._read[tag] = {name: text for name, text in inside if _METADATA.fullmatch(name)}
        return self._read[tag]

    def _install_tools(self) -> None:
        mark = self._tools / "installed"
        if mark.exists() and mark.read_bytes() == LOCK.read_bytes():
            return
        self._uv("venv", "--quiet", "--clear", "--no-project", str(self._tools))
        self._uv(
            "pip", "install", "--quiet", "--require-hashes",
            "--python", str(self._tools), "--requirement", str(LOCK),
        )  # fmt: skip
        mark.write_bytes(LOCK.read_bytes())

    def _uv(self, *words: str) -> None:
        self._run(uv.find_uv_bin(), *words)

    def _run(self, program: str, *words: str) -> None:
        tool = Path(program) if program.startswith("/") else self._tools / "bin" / program
        with self._log.open("ab") as log:
            done = subprocess.run(
                [tool, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=wheels.environment(),
            )
        if done.returncode:
            raise trouble.explained("A bill of materials cannot be written", self._log)


def _number(bill: Path) -> str:
    return json.loads(bill.read_text()).get("serialNumber", "")


def _installed_in(image: Image) -> Image:
    """The image, of all that it is built on, that Python's packages came with."""
    while not image.requirements() and image.parent:
        image = named(image.parent)
    return image


def _put(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def main() -> int:
    try:
        bills = Bills(Engine(ImageSettings().docker_url))
        for image in IMAGES:
            print(bills.ensure(image), flush=True)
    except MoorageError as error:
        print(error.detail, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
