"""Which page a browser's request comes from, and whether that page may send it.

Browsers say so in `Sec-Fetch-*` (W3C Fetch Metadata), which no page can set, and in `Origin`
(RFC 6454). Programs say nothing; nor do browsers over plain http, but for `Origin`.
"""

from typing import NamedTuple

from gateway.arrival import Arrival
from gateway.requests import Request

_READING = frozenset((b"GET", b"HEAD"))


class Elsewhere(NamedTuple):
    """A request that another page than the app's own has caused. `harmless` where nobody is
    signed in: then it shows nothing that its sender could not have asked for itself."""

    harmless: bool


_FOREIGN = Elsewhere(harmless=False)
_PLAIN = Elsewhere(harmless=True)


def from_elsewhere(request: Request, arrival: Arrival, app: str, shared: bool) -> Elsewhere | None:
    """Whether a request to `app` was caused by a page that must not; None if all is well.

    A person may follow a link from anywhere. Everything else has to come from the app's origin;
    where apps share one (`shared`), a frame has to be in a page of the same app, as far as
    `Referer` tells, which a hostile page of that origin can forge.
    """
    if request.fields.token is not None:
        return None  # no browser adds a token by itself
    if request.upgrades and not same_origin(request, arrival):
        return _FOREIGN
    fetch = request.fields.fetch
    if fetch is None:
        return None
    if fetch.framed:
        return None if fetch.from_here and _own_frame(request, app, shared) else _FOREIGN
    if fetch.from_here or (fetch.navigates and request.method in _READING):
        return None
    return _PLAIN if fetch.site == b"cross-site" else _FOREIGN


def same_origin(request: Request, arrival: Arrival, strict: bool = False) -> bool:
    """Whether a page of this very origin sent this, or a program.

    A request that says neither where it comes from passes only where `strict` is off.
    """
    fields = request.fields
    if fields.fetch is not None and not fields.fetch.from_here:
        return False
    if fields.origin is None:
        return fields.fetch is not None or not strict
    scheme, _, host = fields.origin.partition(b"://")
    # A page that came over https is trusted over http too, not the other way round.
    return host.lower() == arrival.host and scheme in (arrival.scheme.encode(), b"https")


def is_program(request: Request) -> bool:
    """No browser, or one that does not say what for it asks."""
    if request.fields.token is not None:
        return True
    return request.fields.fetch is None and not (request.upgrades and request.fields.origin)


def mints_pass(request: Request) -> bool:
    """Does somebody open the app in a window of its own? Then the browser may have its pass."""
    if request.method not in _READING:
        return False
    fetch = request.fields.fetch
    if fetch is None:
        return not request.upgrades
    return fetch.navigates and not fetch.framed and not fetch.ahead


def _own_frame(request: Request, app: str, shared: bool) -> bool:
    if not shared:
        return True
    path = request.fields.referer.partition(b"://")[2].partition(b"/")[2]
    return path.partition(b"/")[0] == app.encode()
