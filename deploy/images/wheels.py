"""Python's packages for images: fetched on this machine, each with the hash that the lock names.

A site's index, proxy, certificates and passwords stay here; the images see only what came of them.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

import uv

from deploy.images import trouble
from services.builder.uv import site_settings
from shared.errors import Invalid

PLATFORMS = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
"""uv's names of what the images run on, by Debian's names of architectures."""
FROM_SOURCE = ("nkeys",)
"""Has no wheel, and is Python alone, so that what is built here is right anywhere."""
_BLOCK = re.compile(r"^([A-Za-z0-9._-]+)==.*?(?=^[A-Za-z0-9]|\Z)", re.MULTILINE | re.DOTALL)


def blocks(lock: str) -> dict[str, str]:
    """The requirements of a lock file by name, each with its hashes."""
    return {match[1]: match[0] for match in _BLOCK.finditer(lock)}


def only(lock: str, names: Collection[str]) -> str:
    """A lock file of these packages. Raises `KeyError` for one that is not there."""
    found = blocks(lock)
    return "".join(found[name] for name in sorted(names))


def without(lock: str, names: Collection[str]) -> str:
    """A lock file of all other packages."""
    return "".join(text for name, text in blocks(lock).items() if name not in names)


def fetch(requirements: str, python: str, architecture: str, folder: Path, log: Path) -> None:
    """Install for Python `python` ("3.11") on an architecture, into `packages` and `programs`.

    Raises `Invalid` and `Unavailable`.
    """
    if architecture not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise Invalid(f"The engine runs on {architecture}, and images can be made for {known}.")
    listed, packages = folder / "requirements.txt", folder / "packages"
    listed.write_text(requirements)
    command = [
        uv.find_uv_bin(), "pip", "install", "--no-deps", "--require-hashes",
        *(f"--only-binary={name}" for name in blocks(requirements) if name not in FROM_SOURCE),
        "--link-mode", "copy", "--no-progress",
        "--python-platform", PLATFORMS[architecture], "--python-version", python,
        "--target", str(packages), "--requirement", str(listed),
    ]  # fmt: skip
    with log.open("ab") as file:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment(),
        )
    if done.returncode:
        raise trouble.explained("Python's packages cannot be fetched", log)
    (packages / ".lock").unlink(missing_ok=True)
    _sort_out(packages / "bin", folder / "programs")


def environment() -> dict[str, str]:
    """Of a uv that goes by the site's settings, and by those of no project and no person."""
    site = site_settings(os.environ)
    config = {} if "UV_CONFIG_FILE" in site else {"UV_NO_CONFIG": "1"}
    return {**os.environ, **site, **config, "UV_PYTHON_DOWNLOADS": "never"}


def _sort_out(scripts: Path, programs: Path) -> None:
    """Keep real programs; the others begin with the path of a Python of this machine."""
    programs.mkdir()
    for path in scripts.iterdir() if scripts.exists() else ():
        with path.open("rb") as file:
            if file.read(2) != b"#!":
                path.rename(programs / path.name)
    shutil.rmtree(scripts, ignore_errors=True)
