"""Where Debian's packages come from."""

import re
from collections.abc import Iterator
from pathlib import Path

SUITE = "bookworm"
OFFICIAL = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PLACE = re.compile(r"/debian(?=/|$)")


def of_machine(root: Path = Path("/")) -> str:
    """The mirror of this machine's own apt, if it is one of the Debian that images are made of."""
    apt = root / "etc" / "apt"
    lines = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]
    for file in lines:
        for uri, suite in _in_lines(_text(file)):
            if suite == SUITE and uri.startswith("http"):
                return uri.rstrip("/")
    for file in sorted(apt.glob("sources.list.d/*.sources")):
        for uri, suites in _in_stanzas(_text(file)):
            if SUITE in suites and uri.startswith("http"):
                return uri.rstrip("/")
    return OFFICIAL


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


def _text(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def _in_lines(text: str) -> Iterator[tuple[str, str]]:
    """URI and suite of each line in the old form, options left out."""
    for line in text.splitlines():
        words = re.sub(r"\[.*?\]", "", line).split()
        if len(words) > 3 and words[0] == "deb":
            yield words[1], words[2]


def _in_stanzas(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each URI with its suites, of the form that begins with `Types:` (deb822)."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.MULTILINE))
        enabled = fields.get("Enabled", "yes").strip().lower() not in ("no", "false", "off", "0")
        for uri in fields.get("URIs", "").split() if enabled else ():
            yield uri, fields.get("Suites", "").split()
