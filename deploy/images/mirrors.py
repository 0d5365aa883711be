"""Where Debian's packages come from."""

import re
from collections.abc import Iterator
from pathlib import Path

SUITE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PLACE = re.compile(r"/debian(?=/|$)")


def of_machine(root: Path = Path("/")) -> str:
    """The mirror of this machine's own apt, if it has the Debian that images are made of; else
    nothing."""
    apt = root / "etc" / "apt"
    found = [
        *(entry for file in _files(apt, "list") for entry in _in_lines(file.read_text())),
        *(entry for file in _files(apt, "sources") for entry in _in_stanzas(file.read_text())),
    ]
    mirrors = (uri for uri, suites in found if SUITE in suites and _usable(uri))
    return next(mirrors, "").rstrip("/")


def security_of(mirror: str) -> str:
    """The mirror of security updates beside a mirror, as Debian's own servers have it."""
    found = list(_PLACE.finditer(mirror))
    end = found[-1].end() if found else len(mirror)
    return f"{mirror[:end]}-security{mirror[end:]}"


def sources(mirror: str, security: str, suite: str = SUITE) -> list[str]:
    """Lines for apt's `sources.list`."""
    return [
        _line(mirror, suite),
        _line(mirror, f"{suite}-updates"),
        _line(security, f"{suite}-security"),
    ]


def _line(url: str, suite: str) -> str:
    # What an archive of the past says of itself is valid no longer; that is what it is for.
    old = " check-valid-until=no" if "/archive/debian" in url else ""
    return f"deb [signed-by={KEYRING}{old}] {url} {suite} main"


def _usable(uri: str) -> bool:
    """From anywhere, and without a password, which every image would show."""
    return uri.startswith(("http://", "https://")) and "@" not in uri


def _files(apt: Path, form: str) -> list[Path]:
    return [*apt.glob(f"sources.{form}"), *sorted(apt.glob(f"sources.list.d/*.{form}"))]


def _in_lines(text: str) -> Iterator[tuple[str, list[str]]]:
    """URI and suite of each line in the old form, options left out."""
    for line in text.splitlines():
        words = re.sub(r"\[.*?\]", "", line).split()
        if len(words) > 3 and words[0] == "deb":
            yield words[1], [words[2]]


def _in_stanzas(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each URI with its suites, of the form that has a field to a line (deb822)."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.MULTILINE))
        enabled = fields.get("Enabled", "yes").strip().lower() not in ("no", "false", "off", "0")
        if enabled and "deb" in fields.get("Types", "").split():
            for uri in fields.get("URIs", "").split():
                yield uri, fields.get("Suites", "").split()
