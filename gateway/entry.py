"""Coming in: from the sign-in on the platform's host to a host that serves apps.

The two hosts share no cookie. A browser that lacks a sign-in on an apps' host gets a random `state`
there and is sent to the platform's `/-/enter`, which knows who it is, or asks. It comes back with a
ticket for that host and that state, good for a minute, and changes it for a cookie that has no
power anywhere else. The state keeps anybody from handing a ticket of his own to somebody else.
"""

import hashlib
import hmac
import re
import secrets
from urllib.parse import parse_qs, quote, urlsplit

from gateway import pages
from gateway.arrival import Arrival
from gateway.cookies import CookieNames, set_cookie
from gateway.identity import Visitors
from gateway.origins import Origins, Place
from gateway.pages import Reply
from gateway.passes import TICKET_SECONDS, Passes
from gateway.requests import Request

STATE_SECONDS = 900

_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")


class Entry:
    """Both ends of the way in."""

    PATH = b"/-/enter"

    def __init__(
        self, origins: Origins, passes: Passes, visitors: Visitors, names: CookieNames
    ) -> None:
        self._origins = origins
        self._passes = passes
        self._visitors = visitors
        self._names = names

    def ask(self, request: Request, arrival: Arrival, place: Place) -> Reply:
        """What somebody unknown gets who opens an app."""
        fields = request.fields
        framed = fields.fetch is not None and fields.fetch.framed
        if not fields.html or framed or request.method not in (b"GET", b"HEAD"):
            return pages.sign_in(fields.html)
        wanted = (request.path + request.query).decode("ascii")
        if place.has_platform:
            return pages.to_login(wanted)
        state = fields.jar.value(self._names.state) or secrets.token_hex(16).encode()
        url = f"{self._origins.scheme}://{arrival.host.decode('ascii')}{wanted}"
        way = f"{self._origins.platform}/-/enter?state={_seal(state)}&to={quote(url, safe='')}"
        cookie = set_cookie(self._names.state, state, b"/", self._origins.secure, STATE_SECONDS)
        return pages.redirect(303, way, cookie)

    def answer(self, request: Request, arrival: Arrival, place: Place) -> Reply:
        """`/-/enter` on either host."""
        fields = request.fields
        opened = fields.fetch is None or (fields.fetch.navigates and not fields.fetch.framed)
        if request.method not in (b"GET", b"HEAD") or not opened:
            return pages.cross_site(fields.html)
        asked = parse_qs(request.query[1:].decode("ascii"), max_num_fields=8)
        if place.has_platform:
            return self._give_ticket(request, _one(asked, "to"), _one(asked, "state"))
        if place.kind == "unknown":
            return pages.unknown_host(self._origins.platform, fields.html)
        return self._take_ticket(request, arrival, _one(asked, "ticket"), _one(asked, "to"))

    def _give_ticket(self, request: Request, to: str, state: str) -> Reply:
        host = self._origins.serves_apps(to)
        if host is None or len(state) != 64:
            return pages.notice(
                400, "No way in", "Open the app again from the list of apps.", request.fields.html
            )
        session = self._passes.session(request.fields.jar.value(self._names.session))
        if session is None or self._visitors.by_session(session) is None:
            return pages.to_login((request.path + request.query).decode("ascii"))
        if not self._passes.can_make:
            return pages.starting(request.fields.html)
        ticket = self._passes.make(session, f"enter:{host}", state, TICKET_SECONDS).decode()
        parts = urlsplit(to)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        way = f"{parts.scheme}://{host}/-/enter?ticket={ticket}&to={quote(path, safe='')}"
        return pages.redirect(303, way)

    def _take_ticket(self, request: Request, arrival: Arrival, ticket: str, to: str) -> Reply:
        html = request.fields.html
        if not self._passes.can_make:
            return pages.starting(html)
        host = arrival.host.decode("ascii")
        found = self._passes.read(ticket.encode("latin-1", "replace"), f"enter:{host}")
        state = request.fields.jar.value(self._names.state)
        home = to if _PATH.fullmatch(to) else "/"
        if state is None:
            return pages.no_cookies(html)
        if found is None or not hmac.compare_digest(found.state, _seal(state)):
            # Too old, or of another browser: once more from the start.
            return pages.redirect(303, home)
        session = found._replace(ends=found.until)
        value = self._passes.make(session, f"door:{host}")
        return pages.redirect(
            303, home, set_cookie(self._names.door, value, b"/", self._origins.secure)
        )


def _seal(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()


def _one(asked: dict[str, list[str]], name: str) -> str:
    return asked.get(name, [""])[-1]
