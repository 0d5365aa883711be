"""An installation as uv is told it and as uv tells of it."""

import re
from pathlib import Path

from services.builder.jobs import Say, Wanted
from services.builder.requirements import located

_RESOLVED = re.compile(r"Resolved (\d+) packages?")
_NOISE = re.compile(r"^(Using C?Python|Prepared|Installed| +Downloaded| [+~-]) ")


class Output:
    """Lines of uv: kept to understand a failure, shown to the pusher without the noise."""

    def __init__(self, say: Say, hold_errors: bool = False) -> None:
        self._say = say
        self._hold_errors = hold_errors
        self._held: list[str] = []
        self._lines: list[str] = []

    def __call__(self, line: str) -> None:
        if len(self._lines) < 2000:
            self._lines.append(line)
        if self._held or (self._hold_errors and line.startswith("error:")):
            self._held.append(line)
        elif found := _RESOLVED.match(line):
            self._say(f"-----> Installing {found.group(1)} packages")
        elif not _NOISE.match(line):
            self._say(f"       {line.strip()}")

    def release(self) -> None:
        """Say the errors that were held back until it was known whether they matter."""
        for line in self._held:
            self._say(f"       {line}")

    @property
    def text(self) -> str:
        return "\n".join(self._lines)


def say_what(wanted: Wanted, say: Say) -> None:
    say(f"-----> Resolving {wanted.dependencies.file} for Python {wanted.interpreter.version}")
    for server in wanted.added:
        say(f"       Adding {server}, which {wanted.dependencies.file} does not name")


def inputs(wanted: Wanted, code: Path) -> dict[str, list[str]]:
    """The files that uv is to read, by name; `code` is the app's folder as uv sees it."""
    requirements = wanted.dependencies.requirements
    lines = [located(line, requirements, code) for line in requirements.lines]
    # Servers stand in a file of their own: lines with hashes would ask for hashes there too.
    files = {"requirements.txt": lines, "added.txt": wanted.added}
    files["constraints.txt"] = requirements.constraints
    return {name: lines for name, lines in files.items() if lines or name == "requirements.txt"}


def arguments(files: dict[str, list[str]], folder: Path) -> list[str]:
    """What names those files in `folder` on uv's command line."""
    found: list[str] = []
    for name in files:
        option = "--constraint" if name == "constraints.txt" else "--requirement"
        found += [option, str(folder / name)]
    return found


def write_inputs(wanted: Wanted, folder: Path, code: Path) -> list[str]:
    """Write the files; the arguments that name them."""
    files = inputs(wanted, code)
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / name).write_text(text_of(lines))
    return arguments(files, folder)


def text_of(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
