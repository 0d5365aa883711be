"""What becomes of a request: forwarded, and with which identity, or answered here.

Pure decisions on the table: no network. A `Forward` says where and how; a `Reply` is the answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gateway import pages, platform
from gateway.access import app_role, may_open
from gateway.arrival import Arrival
from gateway.cookies import CookieNames, set_cookie
from gateway.entry import Entry
from gateway.identity import REUSE_SECONDS, IdentityHeaders, Visitor, Visitors
from gateway.origins import Origins, Place
from gateway.pages import Reply
from gateway.passes import Passes, Session
from gateway.requests import Request
from gateway.sites import from_elsewhere, is_program, mints_pass, same_origin
from gateway.table import Route, Table
from shared.identity import PLATFORM, AppRole

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_MOST_ADMITTED = 4096
_LONGEST_CREDENTIAL = 4096


@dataclass(slots=True, eq=False)
class Forward:
    """How requests of one kind go on. `route` is the app's, None for a platform `service`.

    It holds for all requests of the same method and header block whose path begins with `prefix`,
    until `until` (epoch seconds) or until the table changes; an empty prefix is for one alone.
    `fields` and `identity` are header lines, each with its CRLF. Of the path, `cut` bytes are taken
    off. `cookie` is a header line to be added to the answer. `shared` says that other apps have
    the same origin.
    """

    route: Route | None
    service: str
    user: str
    prefix: bytes
    cut: int
    fields: bytes
    identity: bytes
    cookie: bytes
    shared: bool
    until: float


class Admitted(NamedTuple):
    """Somebody let in: `identity` are the header lines that say who, until `until`."""

    user: str
    identity: bytes
    cookie: bytes
    until: float


_NOBODY = Admitted("", b"", b"", float("inf"))


class Door:
    """Decides by host, first path segment, access rule and credentials."""

    def __init__(
        self,
        table: Table,
        origins: Origins,
        passes: Passes,
        visitors: Visitors,
        identity: IdentityHeaders,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._origins = origins
        self._passes = passes
        self._visitors = visitors
        self._identity = identity
        self._clock = clock
        self.names = CookieNames.of(origins.secure)
        self._entry = Entry(origins, passes, visitors, self.names)
        self._admitted: dict[tuple[object, ...], Admitted] = {}
        self._generation = -1

    def decide(self, request: Request, arrival: Arrival) -> Forward | Reply:
        place = self._origins.place(arrival.host)
        path = request.path
        end = path.find(b"/", 1)
        name = path[1:] if end < 0 else path[1:end]
        route = self._table.routes.get(name)
        if route is None or not name:
            return self._without_app(request, arrival, place, name)
        if place.kind == "app" and place.app != name:
            return pages.unknown_app(name.decode("ascii"), request.fields.html)
        if end < 0:
            return pages.redirect(308, (path + b"/" + request.query).decode("ascii"))
        if not place.has_paths and place.kind != "app":
            return self._at_its_origin(request, route)
        if route.isolated and place.kind != "app":
            return self._at_its_origin(request, route)
        return self._app(request, arrival, place, route, end)

    def still_admits(self, request: Request, arrival: Arrival, app: str) -> bool:
        """Would this request to an app, which is under way, be let in now?"""
        route = self.route(app)
        if route is None:
            return True  # the app is gone: its instances end what is under way
        place = self._origins.place(arrival.host)
        return isinstance(self._admit(request, arrival, place, route), Admitted)

    def app_of(self, path: bytes) -> str:
        """The app that a path names, empty if it names none that there is."""
        route = self._table.routes.get(path[1:].partition(b"/")[0])
        return "" if route is None else route.app

    def route(self, app: str) -> Route | None:
        return self._table.routes.get(app.encode())

    # -- apps

    def _app(
        self, request: Request, arrival: Arrival, place: Place, route: Route, end: int
    ) -> Forward | Reply:
        admitted = self._admit(request, arrival, place, route)
        if not isinstance(admitted, Admitted):
            return admitted
        if not route.targets:
            return pages.no_target(route, request.fields.html)
        return Forward(
            route=route,
            service="",
            user=admitted.user,
            prefix=request.path[: end + 1],
            cut=end if route.prefix_mode == "strip" else 0,
            fields=request.fields.for_app,
            identity=admitted.identity,
            cookie=admitted.cookie,
            shared=place.kind != "app",
            until=admitted.until,
        )

    def _admit(
        self, request: Request, arrival: Arrival, place: Place, route: Route
    ) -> Admitted | Reply:
        """Let a request in by its credentials, or say what is missing."""
        fields = request.fields
        refusal = from_elsewhere(request, arrival, route.app, place.has_paths)
        public = self._is_public(route.app)
        if refusal is not None and not (public and refusal.harmless and not fields.jar.has_own):
            return pages.cross_site(fields.html)
        mints = mints_pass(request)
        strict = not mints and not is_program(request)
        now = self._clock()
        key = (fields.token or fields.jar.whole, route.app, strict, mints, place.kind)
        if self._generation != self._table.generation or len(self._admitted) > _MOST_ADMITTED:
            self._admitted.clear()
            self._generation = self._table.generation
        known = self._admitted.get(key)
        if known is not None and known.until > now:
            return known
        outcome = self._judge(request, arrival, place, route, strict, mints)
        if isinstance(outcome, Admitted) and len(key[0]) <= _LONGEST_CREDENTIAL:
            self._admitted[key] = outcome
        return outcome

    def _judge(
        self,
        request: Request,
        arrival: Arrival,
        place: Place,
        route: Route,
        strict: bool,
        mints: bool,
    ) -> Admitted | Reply:
        fields = request.fields
        session: Session | None = None
        if fields.token is not None:
            visitor = self._visitors.by_token(fields.token)
            if visitor is None:
                return pages.bad_token(fields.html)
        else:
            session = self._session(request, arrival, place)
            visitor = self._visitors.by_session(session)
        holds = session is None or not place.has_paths or self._has_pass(request, session, route)
        if visitor is not None and strict and not holds:
            if not self._is_public(route.app):
                return pages.open_it_first(route.app, fields.html)
            visitor = None
        refusal = self._refusal(request, arrival, place, route, visitor)
        if refusal is not None:
            return refusal
        if visitor is None:
            return _NOBODY
        lacks = session is not None and not holds
        cookie = self._pass(session, route) if session is not None and lacks and mints else b""
        return self._admitted_as(visitor, route.app, cookie)

    def _admitted_as(self, visitor: Visitor, app: str, cookie: bytes) -> Admitted:
        role = app_role(self._table.access.get(app), visitor.person)
        lines = self._identity.lines(visitor, app, app, role)
        until = min(visitor.until, self._clock() + REUSE_SECONDS)
        return Admitted(visitor.person.user, lines, cookie, until)

    def _refusal(
        self,
        request: Request,
        arrival: Arrival,
        place: Place,
        route: Route,
        visitor: Visitor | None,
    ) -> Reply | None:
        html = request.fields.html
        if not may_open(self._table.access.get(route.app), visitor.person if visitor else None):
            if visitor is not None:
                return pages.forbidden(route.app, html)
            return self._entry.ask(request, arrival, place)
        if visitor is not None and not visitor.has_scope("open"):
            return pages.lacks_scope("open", html)
        return None

    def _session(self, request: Request, arrival: Arrival, place: Place) -> Session | None:
        """The sign-in that a browser shows at this place."""
        jar = request.fields.jar
        if place.has_platform:
            return self._passes.session(jar.value(self.names.session))
        host = arrival.host.decode("ascii")
        return self._passes.read(jar.value(self.names.door), f"door:{host}")

    def _has_pass(self, request: Request, session: Session, route: Route) -> bool:
        """Does the browser show a pass for this app that stems from the same sign-in?"""
        for value in request.fields.jar.values(self.names.app):
            found = self._passes.read(value, f"app:{route.app}")
            if found is not None and (found.user, found.sid) == (session.user, session.sid):
                return True
        return False

    def _pass(self, session: Session, route: Route) -> bytes:
        if not self._passes.can_make:
            return b""
        value = self._passes.make(session, f"app:{route.app}")
        path = b"/%b/" % route.app.encode()
        return set_cookie(self.names.app, value, path, self._origins.secure)

    def _is_public(self, app: str) -> bool:
        return may_open(self._table.access.get(app), None)

    def _at_its_origin(self, request: Request, route: Route) -> Reply:
        """The app is served, but not under this host."""
        html = request.fields.html
        origin = self._origins.of_app(route.app, route.isolated)
        if origin is None:
            return pages.no_host(route.app, html)
        url = origin + (request.path + request.query).decode("ascii")
        if request.method in (b"GET", b"HEAD") and not request.upgrades:
            return pages.redirect(307, url)
        return pages.misdirected(url, html)

    # -- everything else

    def _without_app(
        self, request: Request, arrival: Arrival, place: Place, name: bytes
    ) -> Forward | Reply:
        html = request.fields.html
        if request.path == self._entry.PATH:
            return self._entry.answer(request, arrival, place)
        if place.has_platform:
            if request.path == b"/" or name == b"-":
                return self._platform(request, arrival)
            return pages.unknown_app(name[:80].decode("ascii", "replace"), html)
        if place.kind == "unknown":
            return pages.unknown_host(self._origins.platform, html)
        if request.path == b"/":
            own = place.kind == "app" and place.app in self._table.routes
            home = f"/{place.app.decode()}/" if own else self._origins.platform + "/"
            return pages.redirect(307, home)
        return pages.unknown_app(name[:80].decode("ascii", "replace"), html)

    def _platform(self, request: Request, arrival: Arrival) -> Forward | Reply:
        fields = request.fields
        place = platform.find(request.path.decode("ascii"))
        if place is None or b"%2f" in request.path.lower():
            return pages.notice(404, "Nothing here", "Check the address.", fields.html)
        visitor = self._platform_visitor(request)
        if visitor is None and not place.anonymous:
            return _platform_sign_in(request, place)
        if visitor is not None:
            refusal = _platform_refusal(request, arrival, place, visitor)
            if refusal is not None:
                return refusal
        return self._to_service(request, place, visitor)

    def _platform_visitor(self, request: Request) -> Visitor | None:
        fields = request.fields
        if fields.token is not None:
            return self._visitors.by_token(fields.token)
        return self._visitors.by_session(self._passes.session(fields.jar.value(self.names.session)))

    def _to_service(
        self, request: Request, place: platform.PlatformPath, visitor: Visitor | None
    ) -> Forward:
        identity, user = b"", ""
        if visitor is not None:
            user = visitor.person.user
            role = app_role(self._table.access.get(place.app), visitor.person)
            identity = self._identity_for(visitor, place.app, role)
        fields = request.fields
        return Forward(
            route=None,
            service=place.service,
            user=user,
            prefix=b"",
            cut=0,
            fields=fields.for_auth if place.service == "auth" else fields.for_app,
            identity=identity,
            cookie=b"",
            shared=False,
            until=0.0,
        )

    def _identity_for(self, visitor: Visitor, app: str, role: AppRole) -> bytes:
        return self._identity.lines(visitor, PLATFORM, app, role)


def _platform_sign_in(request: Request, place: platform.PlatformPath) -> Reply:
    fields = request.fields
    if place.git:
        return pages.git_sign_in(fields.token is not None or fields.basic)
    if fields.token is not None:
        return pages.bad_token(fields.html)
    if fields.html and request.method in (b"GET", b"HEAD"):
        return pages.to_login((request.path + request.query).decode("ascii"))
    return pages.sign_in(fields.html)


def _platform_refusal(
    request: Request, arrival: Arrival, place: platform.PlatformPath, visitor: Visitor
) -> Reply | None:
    html = request.fields.html
    unsafe = request.method not in _SAFE
    if unsafe and visitor.scopes is None and not same_origin(request, arrival, strict=True):
        return pages.cross_site(html)
    if place.admin and visitor.person.role != "admin":
        return pages.admins_only(html)
    scope = "write" if unsafe or place.git else "read"
    if not place.anonymous and not visitor.has_scope(scope):
        return pages.lacks_scope(scope, html)
    return None
