"""Cookies: the platform's own, which no app ever sees, and those of the apps.

The platform's names begin with `moorage_`. Over https those that hold for a whole host carry the
prefix `__Host-` (RFC 6265bis, 4.1.3.2), so that neither a page of an app nor a neighbouring host
can put another in their place.
"""

import re
from typing import NamedTuple

_OWN = re.compile(rb"(?:__host-|__secure-)?moorage_", re.IGNORECASE)
MOST_PASSES = 8


class CookieNames(NamedTuple):
    """What the platform's cookies are called, over https and without it.

    `session`: signed in to the platform. `door`: signed in to a host that serves apps. `app`: may
    act in one app. `state`: has asked to sign in. `instance`: the instance a browser sticks to.
    """

    session: bytes
    door: bytes
    app: bytes
    state: bytes
    instance: bytes

    @classmethod
    def of(cls, secure: bool) -> "CookieNames":
        host, path = (b"__Host-", b"__Secure-") if secure else (b"", b"")
        return cls(
            host + b"moorage_session",
            host + b"moorage_door",
            path + b"moorage_app",
            host + b"moorage_state",
            path + b"moorage_instance",
        )


class Jar:
    """The Cookie header: the platform's own values, and the others as one header value.

    Of several cookies of one name the last counts: browsers send longer paths first (RFC 6265,
    5.4), and ours have the shortest path there is, so a page cannot put another before them by
    setting one for its own path. Of the apps' passes, which have longer paths, all are kept.
    """

    __slots__ = ("_last", "_passes", "others", "whole")

    def __init__(self, header: bytes) -> None:
        self.whole = header
        self._last: dict[bytes, bytes] = {}
        self._passes: dict[bytes, tuple[bytes, ...]] = {}
        others: list[bytes] = []
        for pair in header.split(b";") if header else ():
            self._take(pair.strip(b" \t"), others)
        self.others = b"; ".join(others)

    def value(self, name: bytes) -> bytes | None:
        """The value of the platform's cookie `name`."""
        return self._last.get(name)

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """All values of the platform's cookie `name`, the last few if there are many."""
        return self._passes.get(name, ())

    @property
    def has_own(self) -> bool:
        """Is anything of the platform's in it?"""
        return bool(self._last)

    def _take(self, pair: bytes, others: list[bytes]) -> None:
        name, _, value = pair.partition(b"=")
        name, value = name.rstrip(b" \t"), value.lstrip(b" \t")
        if _OWN.match(name):
            self._last[name] = value
            self._passes[name] = (*self._passes.get(name, ()), value)[-MOST_PASSES:]
        elif pair:
            others.append(pair)


def set_cookie(
    name: bytes, value: bytes, path: bytes, secure: bool, seconds: int | None = None
) -> bytes:
    """A Set-Cookie line with its CRLF, of a cookie that scripts cannot read."""
    age = b"" if seconds is None else b"; Max-Age=%d" % seconds
    return b"Set-Cookie: %b=%b; Path=%b%b; HttpOnly; SameSite=Lax%b\r\n" % (
        name,
        value,
        path,
        age,
        b"; Secure" if secure else b"",
    )


def is_own(line: bytes) -> bool:
    """Does this Set-Cookie line set a cookie that only the platform may set?

    A cookie without a name is refused as well: `Set-Cookie: =moorage_session=x` comes back as
    `Cookie: moorage_session=x` (RFC 6265bis, 5.7, step 7).
    """
    pair = line.partition(b":")[2].partition(b";")[0].strip(b" \t")
    name, equals, value = pair.partition(b"=")
    if not equals or not name.strip(b" \t"):
        return _OWN.match((value or name).strip(b" \t")) is not None
    return _OWN.match(name.rstrip(b" \t")) is not None


def of_host(line: bytes) -> bytes:
    """An app's Set-Cookie line without Domain: the cookie stays with the host that set it."""
    parts = line.split(b";")
    kept = [parts[0], *(part for part in parts[1:] if _attribute(part)[0] != b"domain")]
    return b";".join(kept)


def of_path(line: bytes, prefix: bytes) -> bytes:
    """An app's Set-Cookie line without Domain and with a path below `prefix` ("/app/")."""
    parts = line.split(b";")
    kept, path = [parts[0]], b""
    for part in parts[1:]:
        name, value = _attribute(part)
        if name == b"path":
            path = value
        elif name != b"domain":
            kept.append(part)
    below = path if path.startswith(prefix) or path + b"/" == prefix else prefix
    return b";".join(kept) + b"; Path=" + below


def _attribute(part: bytes) -> tuple[bytes, bytes]:
    name, _, value = part.partition(b"=")
    return name.strip(b" \t").lower(), value.strip(b" \t")
