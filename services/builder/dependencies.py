"""What an app needs installed, from whichever file of its repository says so.

uv.lock wins, being exact; then requirements.txt, then the dependencies of pyproject.toml (PEP 621).
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.builder.interpreters import PythonRequest, read_request
from services.builder.requirements import Requirements, normalise, read_requirements, take_line
from services.builder.uv import Uv
from shared.errors import Invalid

LARGEST = 5_000_000


@dataclass(frozen=True)
class Dependencies:
    """What to install, the file that says so, and the Python it is for (None: any)."""

    file: str
    requirements: Requirements
    python: PythonRequest | None


async def read_dependencies(folder: Path, uv: Uv) -> Dependencies:
    """Raises `Invalid` when no file says what to install, or one is wrong."""
    project = _project(folder)
    requires = project.get("requires-python") if project else None
    python = read_request(folder, requires)
    if (folder / "uv.lock").is_file() and project is not None:
        return Dependencies("uv.lock", await _locked(folder, uv), python)
    if (folder / "requirements.txt").is_file():
        file = "requirements.txt"
        return Dependencies(file, read_requirements(folder, file), python)
    if project is not None and "dependencies" in project:
        return Dependencies("pyproject.toml", _declared(folder, project), python)
    raise Invalid(
        "Nothing says which packages the app needs: add a requirements.txt, one package a line "
        "(or a pyproject.toml with dependencies, or a uv.lock)."
    )


def _project(folder: Path) -> dict[str, Any] | None:
    path = folder / "pyproject.toml"
    if not path.is_file():
        return None
    if path.stat().st_size > LARGEST:
        raise Invalid("pyproject.toml is too large to be what is meant.")
    try:
        project = tomllib.loads(path.read_text()).get("project")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"pyproject.toml cannot be read: {error}; correct it.") from error
    if project is not None and not isinstance(project, dict):
        raise Invalid("In pyproject.toml 'project' is no table; write it as '[project]'.")
    return project


def _declared(folder: Path, project: dict[str, Any]) -> Requirements:
    found = Requirements()
    declared: object = project["dependencies"]
    if not isinstance(declared, list) or not all(isinstance(line, str) for line in declared):
        raise Invalid("In pyproject.toml 'dependencies' must be a list of strings.")
    for line in declared:
        take_line(folder, "pyproject.toml", str(line), found, found.lines)
    return found


async def _locked(folder: Path, uv: Uv) -> Requirements:
    """uv's own export of the lock file; it resolves and builds nothing."""
    text = await uv.export(folder)
    found = Requirements()
    for raw in text.splitlines():
        line = raw.strip().removesuffix("\\").strip()
        if line.startswith("--hash"):
            found.lines[-1] += f" {line}"
        elif line and not line.startswith("#") and line not in ("-e .", "."):
            take_line(folder, "uv.lock", line, found, found.lines)
    found.names = {normalise(name) for name in found.names}
    return found
