"""The Procfile: one process type a line, `type: command`; it wins over everything detected."""

import difflib
import re
from pathlib import Path

from shared.errors import Invalid
from shared.names import printable

NAME = "Procfile"
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")
LARGEST = 64 * 1024


def read_procfile(folder: Path) -> dict[str, str] | None:
    """Process types and their commands, None when there is no Procfile.

    Raises `Invalid` with the line that is wrong.
    """
    path = folder / NAME
    if not path.is_file():
        _check_spelling(folder)
        return None
    if path.stat().st_size > LARGEST:
        raise Invalid(f"The Procfile is larger than {LARGEST // 1024} KiB; shorten it.")
    return parse(path.read_text(errors="replace"))


def parse(text: str) -> dict[str, str]:
    types: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, command = _parse_line(number, line)
        if name in types:
            raise Invalid(
                f"Procfile line {number} names '{name}' again (first on line {lines[name]}); "
                "keep one of the two."
            )
        types[name], lines[name] = command, number
    if "web" not in types:
        raise Invalid(_no_web(lines))
    return types


def _parse_line(number: int, line: str) -> tuple[str, str]:
    name, colon, command = line.partition(":")
    name, command = name.strip(), command.strip()
    if not colon or (not _TYPE.fullmatch(name) and " " in name):
        raise Invalid(
            f"Procfile line {number} has no colon after a process type "
            f"('{printable(line, 60)}'); write it as 'web: command'."
        )
    if not _TYPE.fullmatch(name):
        raise Invalid(
            f"Procfile line {number}: '{printable(name, 40)}' cannot be a process type; use "
            "letters, digits, '-' and '_', as in 'web: command'."
        )
    if not command:
        raise Invalid(f"Procfile line {number} has no command after '{name}:'; write what to run.")
    return name, command


def _no_web(lines: dict[str, int]) -> str:
    close = difflib.get_close_matches("web", [name.lower() for name in lines], n=1, cutoff=0.5)
    for name, number in lines.items():
        if close and name.lower() == close[0]:
            return (
                f"Procfile line {number} says '{name}': did you mean 'web'? No line begins 'web:'."
            )
    return "The Procfile has no 'web' line; add one, as in 'web: gunicorn app:server'."


def _check_spelling(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name.lower() in (
            "procfile",
            "procfile.txt",
            "profile",
            "procfil",
        ):
            raise Invalid(f"The file '{path.name}' is not read: rename it to 'Procfile'.")
