"""Where to go after signing in: always a path of this host, whatever the link said."""

import re

HOME = "/"
MAX_LENGTH = 4096

# A browser takes a backslash for a slash and drops tabs and line ends before it reads a URL, so
# "/\\host" and "/<tab>/host" lead to another host just as "//host" does (WHATWG URL, 4.4).
_LOCAL = re.compile(r"/(?![/\\])[^\x00-\x20\x7f-\x9f\\\ud800-\udfff]*")
_SIGN_IN = re.compile(r"/-/auth/(?:login|logout)(?:[?#].*)?")


def local_path(wanted: str | None) -> str:
    """`wanted` if it is a path of this host, else the home page."""
    if not wanted or len(wanted) > MAX_LENGTH or not _LOCAL.fullmatch(wanted):
        return HOME
    return HOME if _SIGN_IN.fullmatch(wanted) else wanted
