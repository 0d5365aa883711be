"""requirements.txt as the builder reads it: flattened, and with nothing that reaches outside.

The format is pip's ("Requirements File Format" in pip's documentation).
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import Invalid
from shared.names import printable

LARGEST = 2_000_000
DEEPEST = 8
_INCLUDE = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]?\s*(?P<file>\S+)$")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COMMENT = re.compile(r"(^|\s)#.*$")
_BUILD_OPTIONS = ("--no-binary", "--only-binary", "--prefer-binary", "--no-build-isolation")


@dataclass
class Requirements:
    """Lines to install. `names` are the distributions asked for directly, normalised.

    `digests` maps wheels that lie in the repository to the SHA-256 of their content.
    """

    lines: list[str] = field(default_factory=list[str])
    constraints: list[str] = field(default_factory=list[str])
    names: set[str] = field(default_factory=set[str])
    digests: dict[str, str] = field(default_factory=dict[str, str])


def normalise(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements(folder: Path, file: str) -> Requirements:
    """Flatten `file` and what it includes. Raises `Invalid` naming the file and line."""
    found = Requirements()
    _read(folder.resolve(), file, found, into=found.lines, depth=0)
    return found


def take_line(folder: Path, where: str, line: str, found: Requirements, into: list[str]) -> None:
    """Take in one logical line that is no include."""
    if line.startswith(_BUILD_OPTIONS):
        return
    if line.startswith(("-e", "--editable")):
        raise Invalid(
            f"{where} installs '{printable(line, 60)}' as an editable package; remove the line: "
            "the repository's own folder can be imported from without it."
        )
    if line.startswith("-"):
        _check_option(where, line)
        into.append(line)
        return
    into.append(_local(folder, where, line, found))
    if name := _NAME.match(line):
        found.names.add(normalise(name.group()))


def _read(folder: Path, file: str, found: Requirements, into: list[str], depth: int) -> None:
    if depth > DEEPEST:
        raise Invalid(f"{file} includes itself through '-r'; remove the circle.")
    for number, line in _logical_lines(_text(folder, file)):
        where = f"{file} line {number}"
        include = _INCLUDE.match(line)
        if include is None:
            take_line(folder, where, line, found, into)
            continue
        name = str(Path(file).parent / include["file"])
        _check_inside(folder, where, name)
        target = found.constraints if line.startswith(("-c", "--c")) else into
        _read(folder, name, found, target, depth + 1)


def _text(folder: Path, file: str) -> str:
    path = folder / file
    if path.stat().st_size > LARGEST:
        raise Invalid(
            f"{file} is larger than {LARGEST // 1_000_000} MB; it cannot be what is meant."
        )
    raw = path.read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not UTF-8 text; save it as UTF-8.") from error


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, continuation lines joined, comments and blank lines gone."""
    lines: list[tuple[int, str]] = []
    pending, first = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        first = first if pending else number
        part = _COMMENT.sub("", raw).rstrip()
        pending += part.removesuffix("\\")
        if not part.endswith("\\"):
            if pending.strip():
                lines.append((first, pending.strip()))
            pending = ""
    if pending.strip():
        lines.append((first, pending.strip()))
    return lines


def _check_inside(folder: Path, where: str, name: str) -> None:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise Invalid(f"{where} includes '{printable(name)}', which is outside of the repository.")
    if not path.is_file():
        raise Invalid(f"{where} includes '{printable(name)}', which is not in the repository.")


def _check_option(where: str, line: str) -> None:
    """Indexes are reached over the network; the server's own files are nobody's index."""
    value = line.partition("=")[2] if "=" in line.split()[0] else line.partition(" ")[2]
    index = line.startswith(("-f", "-i", "--find-links", "--index-url", "--extra-index-url"))
    if index and not value.strip().startswith(("http://", "https://")):
        raise Invalid(f"{where}: an index must be an http or https address.")


def _local(folder: Path, where: str, line: str, found: Requirements) -> str:
    """The line with a wheel of the repository named by its full path."""
    if "file:" in line:
        raise Invalid(f"{where} names a file of the server; put the wheel into the repository.")
    target = line.split(";")[0].strip()
    _, at, url = target.partition(" @ ")
    if at and not re.match(r"(git\+)?https?://|git\+ssh://", url.strip()):
        raise Invalid(f"{where}: '{printable(url, 60)}' is no http, https or git address.")
    if not target.startswith((".", "/")) and not target.split("[")[0].endswith(".whl"):
        return line
    path = (folder / target).resolve()
    if target.startswith(("http://", "https://")):
        return line
    if not path.is_relative_to(folder) or not path.is_file() or path.suffix != ".whl":
        raise Invalid(
            f"{where}: '{printable(target, 60)}' is no wheel file of this repository; name a "
            "package of the index, or commit the wheel."
        )
    found.digests[target] = hashlib.sha256(path.read_bytes()).hexdigest()
    return line


def located(line: str, found: Requirements, folder: Path) -> str:
    """`line` with a wheel of the repository named by its place in `folder`."""
    for target in found.digests:
        if line.split(";")[0].strip() == target:
            return line.replace(target, str(folder.resolve() / target), 1)
    return line
