"""The platform's own paths: which service answers which, and what it takes to ask."""

import re
from typing import NamedTuple

_APP = r"(?P<app>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)"
_API = r"/-/api/v1"
_OF_APP = rf"{_API}/apps/{_APP}"


class PlatformPath(NamedTuple):
    """A path of the platform. `app` is the app it names, or empty.

    `anonymous`: nobody needs to be signed in. `git`: git speaks here (401 with Basic). `admin`: for
    administrators; the services look after that themselves, the gateway has to for its own.
    """

    service: str
    app: str
    anonymous: bool
    git: bool
    admin: bool


class _Row(NamedTuple):
    pattern: re.Pattern[str]
    service: str
    anonymous: bool = False
    git: bool = False
    admin: bool = False


def _row(
    pattern: str, service: str, anonymous: bool = False, git: bool = False, admin: bool = False
) -> _Row:
    return _Row(re.compile(pattern), service, anonymous, git, admin)


GATEWAY = "gateway"
"""The service whose paths the gateway answers by itself."""


PATHS: tuple[_Row, ...] = (
    _row(r"/", "portal"),
    _row(r"/-/static/.*", "portal", anonymous=True),
    _row(r"/-/auth/.*", "auth", anonymous=True),
    _row(rf"/-/git/{_APP}\.git/.*", "git_ingest", git=True),
    # A name that can be no app's: git_ingest says what is wrong with it.
    _row(r"/-/git/[^/]+\.git/.*", "git_ingest", git=True),
    _row(r"/-/metrics", GATEWAY, admin=True),
    _row(rf"{_API}/login", "auth", anonymous=True),
    _row(rf"{_API}/(?:whoami|password)", "auth"),
    _row(rf"{_API}/(?:tokens|users)(?:/[^/]+)?", "auth"),
    _row(rf"{_OF_APP}/access", "auth"),
    _row(rf"{_OF_APP}/builds(?:/[^/]+(?:/log)?)?", "builder"),
    _row(rf"{_OF_APP}/(?:releases|rollback|instances|scale|restart|logs|run)", "scheduler"),
    _row(rf"{_OF_APP}/(?:config|secrets)", "secrets"),
    _row(rf"{_OF_APP}/traffic", "router"),
    _row(rf"{_OF_APP}", "portal"),
    _row(rf"{_API}/(?:apps|openapi\.json|events|status)", "portal"),
    _row(rf"{_API}/dead-letters(?:/[^/]+(?:/replay)?)?", "portal"),
)


def find(path: str) -> PlatformPath | None:
    """The row of the first pattern that fits the whole path, None when none does."""
    for row in PATHS:
        match = row.pattern.fullmatch(path)
        if match is not None:
            app = match.groupdict().get("app") or ""
            return PlatformPath(row.service, app, row.anonymous, row.git, row.admin)
    return None
