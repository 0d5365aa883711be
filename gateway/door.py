"""What becomes of a request: forwarded, and with which identity, or answered here.

Pure decisions on the table: no network. A `Forward` says where and how; a `Reply` is the answer.
"""

from typing import NamedTuple

from gateway import pages, platform
from gateway.access import app_role, may_open
from gateway.identity import IdentityHeaders, Visitor, Visitors
from gateway.pages import Reply
from gateway.requests import Request
from gateway.table import Route, Table
from shared.identity import PLATFORM

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))


class Forward(NamedTuple):
    """A request that goes on. `app` is the app's name, or empty for a platform `service`.

    `target` is the request target to send; `fields` and `identity` are header lines, each with
    its CRLF, and `prefix` is the path that was taken off (empty if none was).
    """

    app: str
    service: str
    target: bytes
    fields: bytes
    identity: bytes
    prefix: bytes


class Door:
    """Decides by first path segment, access rule and credentials."""

    def __init__(self, table: Table, visitors: Visitors, identity: IdentityHeaders) -> None:
        self._table = table
        self._visitors = visitors
        self._identity = identity

    def decide(self, request: Request) -> Forward | Reply:
        path = request.path
        end = path.find(b"/", 1)
        name = path[1:] if end < 0 else path[1:end]
        route = self._table.routes.get(name)
        if route is not None and name:
            if end < 0:
                return pages.redirect(308, (path + b"/" + request.query).decode("ascii"))
            return self._app(request, route, end)
        if path == b"/" or name == b"-":
            return self._platform(request)
        html = _navigates(request)
        return pages.unknown_app(name[:80].decode("ascii", "replace"), html)

    def route(self, app: str) -> Route | None:
        return self._table.routes.get(app.encode())

    def _visitor(self, request: Request) -> Visitor | bool | None:
        """Who is asking; None for nobody, False for a token that does not count."""
        fields = request.fields
        if fields.token is not None:
            return self._visitors.by_token(fields.token) or False
        return self._visitors.by_session(fields.session) if fields.session else None

    def _app(self, request: Request, route: Route, end: int) -> Forward | Reply:
        html = _navigates(request)
        visitor = self._visitor(request)
        if visitor is False:
            return pages.bad_token(html)
        known = visitor if isinstance(visitor, Visitor) else None
        refusal = self._refusal(request, route, known, html)
        if refusal is not None:
            return refusal
        if not route.targets:
            return pages.no_target(route, html)
        identity = b""
        if known is not None:
            role = app_role(self._table.access.get(route.app), known.person)
            identity = self._identity.lines(known, route.app, route.app, role)
        stripped = route.prefix_mode == "strip"
        path = request.path[end:] if stripped else request.path
        return Forward(
            app=route.app,
            service="",
            target=path + request.query,
            fields=request.fields.for_app,
            identity=identity,
            prefix=request.path[:end] if stripped else b"",
        )

    def _refusal(
        self, request: Request, route: Route, known: Visitor | None, html: bool
    ) -> Reply | None:
        rule = self._table.access.get(route.app)
        if not may_open(rule, known.person if known else None):
            if known is not None:
                return pages.forbidden(route.app, html)
            return _ask_to_sign_in(request, html)
        if known is not None and not known.has_scope("open"):
            return pages.lacks_scope("open", html)
        if known is not None and request.upgrades and not _same_origin(request):
            return pages.cross_site(html)
        return None

    def _platform(self, request: Request) -> Forward | Reply:
        path = request.path.decode("ascii")
        html = _navigates(request)
        place = platform.find(path)
        if place is None or b"%2f" in request.path.lower():
            return pages.notice(404, "Nothing here", "Check the address.", html)
        visitor = self._visitor(request)
        known = visitor if isinstance(visitor, Visitor) else None
        if known is None and not place.anonymous:
            return _platform_sign_in(request, place, visitor is False, html)
        if known is not None:
            refusal = _platform_refusal(request, place, known, html)
            if refusal is not None:
                return refusal
        return self._to_service(request, place, known)

    def _to_service(
        self, request: Request, place: platform.PlatformPath, known: Visitor | None
    ) -> Forward:
        identity = b""
        if known is not None:
            role = app_role(self._table.access.get(place.app), known.person)
            identity = self._identity.lines(known, PLATFORM, place.app, role)
        fields = request.fields
        return Forward(
            app="",
            service=place.service,
            target=request.path + request.query,
            fields=fields.for_auth if place.service == "auth" else fields.for_app,
            identity=identity,
            prefix=b"",
        )


def _navigates(request: Request) -> bool:
    return request.fields.html


def _ask_to_sign_in(request: Request, html: bool) -> Reply:
    if html and request.method in (b"GET", b"HEAD"):
        return pages.to_login((request.path + request.query).decode("ascii"))
    return pages.sign_in(html)


def _platform_sign_in(
    request: Request, place: platform.PlatformPath, sent: bool, html: bool
) -> Reply:
    if place.git:
        return pages.git_sign_in(sent or request.fields.basic)
    return pages.bad_token(html) if sent else _ask_to_sign_in(request, html)


def _platform_refusal(
    request: Request, place: platform.PlatformPath, known: Visitor, html: bool
) -> Reply | None:
    unsafe = request.method not in _SAFE
    if unsafe and known.scopes is None and not _same_origin(request, strict=True):
        return pages.cross_site(html)
    scope = "write" if unsafe or place.git else "read"
    if not place.anonymous and not known.has_scope(scope):
        return pages.lacks_scope(scope, html)
    return None


def _same_origin(request: Request, strict: bool = False) -> bool:
    """Whether our own pages sent this: Sec-Fetch-Site where a browser says it, else Origin.

    A request that says neither passes only where `strict` is off: a WebSocket handshake carries
    nothing but Origin, and programs do not send that.
    """
    fields = request.fields
    if fields.fetch_site is not None:
        return fields.fetch_site in (b"same-origin", b"none")
    if fields.origin is None:
        return not strict
    return fields.origin.partition(b"://")[2].lower() == fields.host.lower()
