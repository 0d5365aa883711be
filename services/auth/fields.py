"""What people type: checked once, refused with one sentence."""

import re

from shared.errors import Invalid
from shared.names import printable

_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")

MAX_GROUPS = 2000


def is_user_name(text: str) -> bool:
    return _USER_NAME.fullmatch(text) is not None


def check_user_name(text: str) -> str:
    """Return a name that a user may have, or raise `Invalid`."""
    if is_user_name(text):
        return text
    raise Invalid(
        f"'{printable(text)}' cannot be a user name: use up to 63 lower-case letters, digits, "
        "dots, hyphens and underscores, beginning with a letter or digit."
    )


def check_email(text: str) -> str:
    """An e-mail address, or nothing."""
    if text == "" or (_EMAIL.fullmatch(text) and text.isprintable()):
        return text
    raise Invalid(f"'{printable(text)}' is no e-mail address; write it like name@example.com.")


def check_line(text: str, what: str, limit: int = 100) -> str:
    """Printable text of one line, without blanks around it; `what` names it in the refusal."""
    line = text.strip()
    if line.isprintable() and len(line) <= limit:
        return line
    raise Invalid(f"{what} must be one line of at most {limit} printable characters.")


def check_groups(groups: list[str]) -> list[str]:
    """Names of groups in order, each once. A comma separates them in a header, so none has one."""
    if len(groups) > MAX_GROUPS:
        raise Invalid(f"A person can be in at most {MAX_GROUPS} groups.")
    return sorted({check_group(group) for group in groups})


def check_group(group: str) -> str:
    name = check_line(group, "A group's name", 200)
    if name and "," not in name:
        return name
    raise Invalid("A group's name must not be empty nor hold a comma.")
