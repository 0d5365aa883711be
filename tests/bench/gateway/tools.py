"""What the benchmark needs besides the development environment: proxies from Debian and npm."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.bench.report import FOLDER

DEBIAN = {"nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy", "wrk": "wrk"}
"""Program -> package."""
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
