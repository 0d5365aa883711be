"""An instance's environment as text for a shell, which is how it gets there unseen."""

import re
import shlex
from collections.abc import Mapping

from shared.errors import Invalid

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def exports(environment: Mapping[str, str]) -> bytes:
    """One command for a shell to evaluate. Raises `Invalid` for a name that is none."""
    for name in environment:
        if not _NAME.fullmatch(name):
            raise Invalid(
                f"'{name[:80]}' cannot be the name of a config var; use letters, digits and "
                "underscores, beginning with a letter."
            )
    words = (f"{name}={shlex.quote(value)}" for name, value in environment.items())
    return f"export {' '.join(words)}".encode()
