"""Symbolic links: accepted when they lead to a place inside the repository."""

from collections.abc import Mapping

from services.git_ingest.lines import clean_line
from shared.errors import Invalid

MOST_HOPS = 40
"""How many links Linux follows on one way before it gives up (path_resolution(7))."""


def check_links(links: Mapping[str, str]) -> None:
    """Raise `Invalid` for the first link that leads outside. `links` maps path to target."""
    for path in links:
        if not stays_inside(path, links):
            shown, target = clean_line(path[:80]), clean_line(links[path][:80])
            raise Invalid(
                f"The symbolic link '{shown}' points outside the repository (to '{target}');"
                " remove it or let it point to a file that is pushed too."
            )


def stays_inside(path: str, links: Mapping[str, str]) -> bool:
    """Follow the link at `path` as the kernel would, other links on the way included.

    "a/.." is not "." where `a` is a link itself, so the text of a target alone proves nothing.
    """
    here: list[str] = []
    ahead = path.split("/")[::-1]
    hops = 0
    while ahead:
        name = ahead.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not here:
                return False
            here.pop()
            continue
        here.append(name)
        target = links.get("/".join(here))
        if target is None:
            continue
        hops += 1
        if hops > MOST_HOPS or target.startswith("/"):
            return False
        here.pop()
        ahead.extend(target.split("/")[::-1])
    return True
