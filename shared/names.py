"""Names: what an app may be called, and ids that nobody has to invent."""

import re
import uuid

from shared.errors import Invalid

_APP_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


def is_app_name(name: str) -> bool:
    """True for a DNS label (RFC 1035, lower case): it is a path segment and a database name too."""
    return _APP_NAME.fullmatch(name) is not None


def check_app_name(name: str) -> str:
    """Return `name`, or raise `Invalid` when it is no DNS label."""
    if is_app_name(name):
        return name
    raise Invalid(
        f"'{printable(name)}' cannot be the name of an app: use up to 63 lower-case letters, "
        "digits and hyphens, beginning with a letter and not ending with a hyphen."
    )


def printable(text: str, limit: int = 80) -> str:
    """`text` cut to `limit` characters, with control characters shown as '?'."""
    shown = "".join(char if char.isprintable() else "?" for char in text[: limit + 1])
    return shown if len(text) <= limit else shown[:limit] + "..."


def new_id() -> str:
    """A random id of 32 hexadecimal digits."""
    return uuid.uuid4().hex
