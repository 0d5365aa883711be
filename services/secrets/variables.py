"""What may be set: names, values, sizes. Pure checks; no message ever contains a value."""

import re
from typing import Any, Literal

from shared.errors import Conflict, Invalid
from shared.names import printable

Section = Literal["config", "secrets"]
Patch = dict[str, str | None]
"""Name to new value; None removes the name."""
Document = dict[Section, dict[str, str]]

VALUE_BYTES = 64 * 1024
DOCUMENT_BYTES = 512 * 1024
NAME_CHARACTERS = 128

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

RESERVED = frozenset(
    {
        "PORT",
        "PATH",
        "HOME",
        "SCRIPT_NAME",
        "FORWARDED_ALLOW_IPS",
        "DASH_URL_BASE_PATHNAME",
        "DASH_ROUTES_PATHNAME_PREFIX",
        "DASH_REQUESTS_PATHNAME_PREFIX",
        "STREAMLIT_SERVER_BASE_URL_PATH",
        "STREAMLIT_SERVER_PORT",
        "STREAMLIT_SERVER_ADDRESS",
        "GRADIO_ROOT_PATH",
        "GRADIO_SERVER_NAME",
        "GRADIO_SERVER_PORT",
        "UVICORN_ROOT_PATH",
        "MESOP_BASE_URL_PATH",
        "REFLEX_FRONTEND_PATH",
        "REFLEX_BACKEND_PATH",
    }
)
RESERVED_PREFIXES = ("MOORAGE_", "PYTHON", "LD_")

OTHER: dict[Section, Section] = {"config": "secrets", "secrets": "config"}
CALLED: dict[Section, str] = {"config": "config var", "secrets": "secret"}


def empty_document() -> Document:
    return {"config": {}, "secrets": {}}


def read_patch(body: Any) -> Patch:
    """Check a patch as it came over HTTP. Raises `Invalid`, naming the name at fault."""
    if not isinstance(body, dict) or not body:
        raise Invalid('Send a JSON object like {"NAME": "value", "OLD_NAME": null}.')
    return {check_name(name): _check_value(name, value) for name, value in body.items()}


def check_name(name: str) -> str:
    """Return `name`, or raise `Invalid` when no environment variable of an app may be called so."""
    if len(name) > NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise Invalid(
            f"'{printable(name)}' cannot be a name: use up to {NAME_CHARACTERS} letters, digits "
            "and underscores, not beginning with a digit."
        )
    upper = name.upper()
    if upper in RESERVED or upper.startswith(RESERVED_PREFIXES):
        raise Invalid(f"'{name}' is set by the platform itself; choose another name.")
    return name


def _check_value(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Invalid(f"The value of '{name}' must be text: put it in quotes.")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise Invalid(f"The value of '{name}' has a character that no environment can hold.")
    if len(value.encode()) > VALUE_BYTES:
        raise Invalid(
            f"The value of '{name}' is longer than {VALUE_BYTES // 1024} KiB; keep large data in a "
            "file or a database and set where it is."
        )
    return value


def apply_patch(document: Document, section: Section, patch: Patch) -> tuple[Document, list[str]]:
    """The document after the patch, and the names that really changed, sorted.

    Raises `Conflict` for a name that the other section has, `Invalid` when all is too large.
    """
    _check_other_section(document, section, patch)
    old = document[section]
    new = {**old, **{name: value for name, value in patch.items() if value is not None}}
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
    changed = sorted(name for name in patch if old.get(name) != new.get(name))
    result: Document = {**document, section: new}
    _check_size(result)
    return result, changed


def _check_other_section(document: Document, section: Section, patch: Patch) -> None:
    other = OTHER[section]
    for name, value in patch.items():
        if value is not None and name in document[other]:
            raise Conflict(
                f"'{name}' is a {CALLED[other]} of this app already; remove it there first."
            )


def _check_size(document: Document) -> None:
    size = sum(
        len(name) + len(value.encode())
        for section in document.values()
        for name, value in section.items()
    )
    if size > DOCUMENT_BYTES:
        raise Invalid(
            f"The config vars and secrets of one app may take {DOCUMENT_BYTES // 1024} KiB in all; "
            "remove some first."
        )
