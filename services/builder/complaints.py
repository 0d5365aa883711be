"""uv's complaints in one sentence each; its own words stand above it in the log."""

import re

_NO_WHEEL = re.compile(r"no usable wheels|[Ww]heels are required|building from source is disabled")
_NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9._\[\]-]*)"


def lacks_only_wheels(text: str) -> bool:
    """Whether an install without building failed because something would have to be built."""
    return _NO_WHEEL.search(text) is not None


def sentence(file: str, text: str) -> str:
    """What is wrong and what to do, from uv's output."""
    flat = " ".join(line.strip() for line in text.splitlines())
    for pattern, template in _KNOWN:
        if found := re.search(pattern, flat):
            return template.format(file=file, **found.groupdict())
    if found := re.search(r"(Because .*?requirements are unsatisfiable)", flat):
        return f"The requirements in {file} contradict each other: {found.group(1)}."
    if found := re.search(r"error: (.*?)(?: cause:|$)", flat):
        return f"The packages of {file} could not be installed: {found.group(1).strip()[:300]}."
    return f"The packages of {file} could not be installed; the lines above say why."


_KNOWN = (
    (
        rf"Because {_NAME} was not found in the package registry",
        "{file} asks for '{name}', which the package index does not have: check how it is spelt.",
    ),
    (
        r"Because there (?:is no version|are no versions) of (?P<what>\S+?) and you require"
        r" (?P<asked>\S+?), we can conclude",
        "{file} asks for {asked}, a version that does not exist: ask for one that does.",
    ),
    (
        rf"Failed to build `{_NAME}.*signal: 9 \(SIGKILL\)",
        "{name} (asked for by {file}) was killed while it was built from source, most likely "
        "because it took more memory than a build may: ask for a version that has a wheel.",
    ),
    (
        rf"(?:Failed to build|Failed to download and build) `{_NAME}",
        "{name} (asked for by {file}) has no wheel for this Python and could not be built from "
        "source: its own output is above; ask for a version that has a wheel.",
    ),
    (
        r"Couldn't parse requirement in `[^`]*` at position \d+ cause: (?P<why>.*?)(?: \^|$)",
        "{file} has a line that is no requirement: {why}.",
    ),
    (
        r"Requested Python version|does not satisfy Python",
        "{file} asks for packages that do not run on this Python; the lines above say which.",
    ),
    (
        r"[Nn]o space left on device",
        "The server's disk is full, so the packages were not installed: tell the administrator.",
    ),
    (
        r"Hash mismatch for `(?P<what>[^`]+)`",
        "{what} is not what {file} fixed by its hash: write the lock file again, or find out who "
        "changed the package.",
    ),
    (
        r"Failed to fetch|error sending request|[Cc]ould not connect|dns error|timed out",
        "The package index could not be reached, so the packages of {file} were not installed: "
        "push again in a moment, or tell the administrator.",
    ),
)
