"""uv, the installer: where it is, what it may know of our environment, and what it is asked."""

import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from shared.errors import Invalid

PASSED_ON = (
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SSL_CLIENT_CERT",
    "UV_CONCURRENT_BUILDS",
    "UV_CONCURRENT_DOWNLOADS",
    "UV_CONFIG_FILE",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_RETRIES",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_NATIVE_TLS",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
)
"""What a site sets in the builder's own environment to say where packages come from."""

FROM_PIP = {
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_EXTRA_INDEX_URL": "UV_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
}
"""pip's names of the same settings, for sites that have only those."""

_CREDENTIALS = re.compile(r"UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)")
_QUICK_SECONDS = 60.0


def site_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that says where and how packages are fetched; nothing else."""
    allowed = {*PASSED_ON, *(name.lower() for name in PASSED_ON if name.endswith("_PROXY"))}
    settings = {
        name: value
        for name, value in environ.items()
        if name in allowed or _CREDENTIALS.fullmatch(name)
    }
    if "UV_INDEX_URL" in settings:
        settings.setdefault("UV_DEFAULT_INDEX", settings.pop("UV_INDEX_URL"))
    for pip, own in FROM_PIP.items():
        if pip in environ:
            # pip separates folders by spaces, uv by commas; both separate indexes by spaces.
            commas = own == "UV_FIND_LINKS"
            settings.setdefault(own, ",".join(environ[pip].split()) if commas else environ[pip])
    return settings


class Uv:
    """One uv program with a site's settings. It never downloads a Python and reads no project."""

    def __init__(self, program: Path, environ: Mapping[str, str]) -> None:
        self.program = program
        self.site = site_settings(environ)
        self._path = environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        self._version: str | None = None

    def environment(self, cache: Path) -> dict[str, str]:
        """Environment of a uv process."""
        config = {} if "UV_CONFIG_FILE" in self.site else {"UV_NO_CONFIG": "1"}
        return {
            "PATH": self._path,
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "UV_CACHE_DIR": str(cache),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
            "GIT_TERMINAL_PROMPT": "0",
            **config,
            **self.site,
        }

    async def version(self) -> str:
        if self._version is None:
            _, output, _ = await self._ask("--version")
            self._version = output.split()[1]
        return self._version

    async def find_python(self, request: str) -> str | None:
        """Path of an interpreter of this machine for "3.11", "3.11.7" or a specifier."""
        status, output, _ = await self._ask(
            "python", "find", "--system", "--no-project", "--resolve-links", request
        )
        return output.strip() if status == 0 else None

    async def list_pythons(self) -> list[str]:
        """Versions of the interpreters of this machine."""
        _, output, _ = await self._ask(
            "python", "list", "--only-installed", "--output-format", "json"
        )
        listed = json.loads(output or "[]")
        return [entry["version"] for entry in listed if entry.get("implementation") == "cpython"]

    async def export(self, folder: Path) -> str:
        """The requirements that `uv.lock` fixes, hashes included, the project itself left out.

        uv sees a copy of the two files: beside a repository's own `.venv` it would start that.
        """
        with tempfile.TemporaryDirectory(prefix="moorage-lock-") as scratch:
            for name in ("pyproject.toml", "uv.lock"):
                shutil.copyfile(folder / name, Path(scratch) / name)
            status, output, errors = await self._ask(
                "export", "--frozen", "--no-dev", "--no-emit-project", "--no-header",
                "--no-annotate", "--python", sys.executable, "--directory", scratch,
            )  # fmt: skip
        if status:
            raise Invalid(
                f"uv.lock cannot be read ({_last(errors)}); write it again with 'uv lock'."
            )
        return output

    async def _ask(self, *arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            str(self.program),
            *arguments,
            cwd="/",
            env={**self.environment(Path("/nonexistent")), "UV_NO_CACHE": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), _QUICK_SECONDS)
        return process.returncode or 0, output.decode(), errors.decode(errors="replace")


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
