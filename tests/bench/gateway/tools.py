"""What the benchmark needs besides the development environment: proxies from Debian and npm."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.embedded.layout import CHECKOUT
from tests.bench.report import FOLDER

DEBIAN = {"nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy", "wrk": "wrk"}
"""Program -> package."""
PYTHON = FOLDER / "venv" / "bin" / "python"
"""Debian's Python with the platform's packages: as Debian has optimised it, like the proxies that
ours is compared with. One built by hand is often a third slower."""
CHP_VERSION = "5.3.0"
CHP = FOLDER / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"


class Missing(Exception):
    """A tool is missing and cannot be installed here; the text says what to do."""


def install() -> None:
    """Install what is missing. Raises `Missing`."""
    lacking = sorted({package for program, package in DEBIAN.items() if not find(program)})
    if lacking:
        _from_debian(lacking)
    if not CHP.exists():
        _from_npm()
    if _lacks(PYTHON):
        _venv()


def find(program: str) -> str | None:
    """The program's path; servers lie in folders that not everybody's PATH has."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def path(program: str) -> str:
    found = find(program)
    assert found is not None, f"{program} was installed and is not there"
    return found


def _from_debian(packages: list[str]) -> None:
    wanted = " ".join(packages)
    command = f"apt-get install --no-install-recommends {wanted}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"Missing: {wanted}. Install with root's '{command}' and try again.")
    print(f"  installing {wanted} from Debian", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_daemons():
        _run(["apt-get", "update", "-qq"], environment)
        _run(["apt-get", "install", "-qq", "--no-install-recommends", *packages], environment)


def _venv() -> None:
    """Debian's Python and, from the lock file, what the platform's images have."""
    debian = Path("/usr/bin/python3")
    if not _has_venv(debian):
        _from_debian(["python3", "python3-venv"])
    print("  installing the gateway's packages for Debian's Python", flush=True)
    environment = dict(os.environ)
    _run(
        [str(debian), "-m", "venv", "--without-pip", "--clear", str(PYTHON.parents[1])], environment
    )
    lock = CHECKOUT / "deploy" / "requirements" / "platform.lock"
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet"]
    _run([*uv, "--python", str(PYTHON), "--require-hashes", "-r", str(lock)], environment)
    PYTHON.with_name("complete").touch()


def _lacks(python: Path) -> bool:
    """Is it not there, or older than the list of packages?"""
    lock = CHECKOUT / "deploy" / "requirements" / "platform.lock"
    mark = python.with_name("complete")
    return not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime


def _has_venv(python: Path) -> bool:
    probe = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
    return python.exists() and not subprocess.run([python, "-c", probe]).returncode


class _no_daemons:
    """The packages would start their servers; Debian asks this script whether they may."""

    _script = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self._ours = not self._script.exists()
        if self._ours:
            self._script.write_text("#!/bin/sh\nexit 101\n")
            self._script.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self._script.unlink(missing_ok=True)


def _from_npm() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("Missing: npm (with node 20 or newer), for configurable-http-proxy.")
    print("  installing configurable-http-proxy from npm", flush=True)
    FOLDER.mkdir(exist_ok=True)
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    package = f"configurable-http-proxy@{CHP_VERSION}"
    _run([npm, "install", "--prefix", str(FOLDER), "--no-save", *quiet, package], dict(os.environ))


def _run(command: list[str], environment: dict[str, str]) -> None:
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(command, env=environment, stdout=output, stderr=output)
        if done.returncode:
            output.seek(0)
            raise Missing(f"'{' '.join(command)}' failed:\n{output.read()[-2000:]}")
