"""Which Python an app runs on: what it asks for, among those that this machine has."""

import asyncio
import json
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from services.builder.uv import Uv
from shared.errors import Invalid
from shared.names import printable

_VERSION = re.compile(r"(?:c?python-?)?(?P<version>3\.\d{1,2}(?:\.\d{1,2})?)", re.IGNORECASE)
_ASK = "import sys, platform, json; print(json.dumps([sys.executable, platform.python_version()]))"


@dataclass(frozen=True)
class PythonRequest:
    """`text` is "3.11", "3.11.7" or a specifier (">=3.11,<3.13"); `file` is where it stands."""

    text: str
    file: str

    @property
    def minor(self) -> str | None:
        """ "3.11" when exactly one minor version is asked for."""
        return ".".join(self.text.split(".")[:2]) if self.text[0].isdigit() else None


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine, not of any virtual environment."""

    executable: str
    version: str

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


def read_request(folder: Path, requires_python: str | None) -> PythonRequest | None:
    """What the repository asks for, if it does. Raises `Invalid` when it cannot be read."""
    for file in (".python-version", "runtime.txt"):
        if (folder / file).is_file() and (text := _first_line(folder / file)):
            found = _VERSION.fullmatch(text)
            if not found:
                wanted = "python-3.11" if file == "runtime.txt" else "3.11"
                raise Invalid(f"{file} says '{printable(text, 40)}'; write it as '{wanted}'.")
            return PythonRequest(found["version"], file)
    if requires_python:
        return PythonRequest(requires_python, "pyproject.toml")
    return None


def _first_line(path: Path) -> str:
    with path.open(errors="replace") as file:
        lines = [line.strip() for line in file.read(4096).splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


class Interpreters:
    """Finds interpreters and remembers them."""

    def __init__(self, uv: Uv) -> None:
        self._uv = uv
        executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        self._own = Interpreter(str(executable), platform.python_version())
        self._known: dict[str, Interpreter] = {}

    async def find(self, request: PythonRequest | None) -> Interpreter:
        """The interpreter for a request; the platform's own where there is a choice.

        A patch version that is not there gives way to another of the same minor version.
        Raises `Invalid` with a sentence that lists what there is.
        """
        if request is None or request.text in (self._own.version, self._own.minor):
            return self._own
        for text in (request.text, request.minor):
            if text and (found := await self._search(text)):
                return found
        raise Invalid(
            f"{request.file} asks for Python {printable(request.text, 40)}, which this server does "
            f"not have: write one of {', '.join(await self._present())}."
        )

    async def _search(self, text: str) -> Interpreter | None:
        if text == self._own.minor:
            return self._own
        known = self._known.get(text)
        if known and Path(known.executable).exists():
            return known
        path = await self._uv.find_python(text)
        if path is None:
            return None
        self._known[text] = await _identify(path)
        return self._known[text]

    async def _present(self) -> list[str]:
        versions = {*await self._uv.list_pythons(), self._own.version}
        minors = {tuple(int(part) for part in version.split(".")[:2]) for version in versions}
        return [f"{major}.{minor}" for major, minor in sorted(minors)]


async def _identify(path: str) -> Interpreter:
    child = await asyncio.create_subprocess_exec(
        path, "-I", "-S", "-c", _ASK, stdout=asyncio.subprocess.PIPE, env={}
    )
    output, _ = await child.communicate()
    executable, version = json.loads(output)
    return Interpreter(str(Path(executable).resolve()), version)
