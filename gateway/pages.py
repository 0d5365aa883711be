"""What the gateway answers itself: a page for people, a problem document for programs."""

import base64
import hashlib
import html
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

import orjson

from gateway.table import Route

REASONS = {
    200: "OK",
    303: "See Other",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    417: "Expectation Failed",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

_STYLE = """
:root{color-scheme:light dark;--ink:#12263a;--soft:#5b6b7b;--ground:#f4f7fa;--card:#fff;
--line:#dfe7ee;--mark:#1769aa}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9fb0c0;--ground:#0d1620;
--card:#14212e;--line:#233546;--mark:#63b3ed}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;
background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,sans-serif}
main{max-width:34rem;width:100%;padding:40px;background:var(--card);border:1px solid var(--line);
border-radius:14px;box-shadow:0 10px 30px rgb(10 30 50/.06)}
p.code{margin:0 0 6px;color:var(--mark);font-weight:600;letter-spacing:.04em}
h1{margin:0 0 10px;font-size:1.5rem;line-height:1.25}
p{margin:0 0 14px;color:var(--soft);overflow-wrap:anywhere}
a{color:var(--mark)}
p:last-child{margin:0}
""".strip()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

Headers = Sequence[tuple[str, str]]


class Reply(NamedTuple):
    """An answer of the gateway's own."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def encode(self, close: bool, head_only: bool, more: bytes = b"") -> bytes:
        """The answer as bytes; `more` are further header lines, each with its CRLF."""
        lines = [f"HTTP/1.1 {self.status} {REASONS[self.status]}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append(f"Content-Length: {len(self.body)}")
        if close:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n").encode("latin-1", "replace") + more + b"\r\n"
        return head if head_only else head + self.body


def notice(status: int, title: str, detail: str, html_wanted: bool, headers: Headers = ()) -> Reply:
    """A page or a problem document (RFC 9457) with the same words."""
    kind, body = (
        ("text/html; charset=utf-8", _page(status, title, detail))
        if html_wanted
        else ("application/problem+json", _problem(status, title, detail))
    )
    always = (("Content-Type", kind), ("Cache-Control", "no-store"))
    extra = (("Content-Security-Policy", _POLICY),) if html_wanted else ()
    return Reply(status, always + extra + tuple(headers), body)


def _page(status: int, title: str, detail: str) -> bytes:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<p class="code">{status}</p><h1>{html.escape(title)}</h1><p>{html.escape(detail)}</p>'
        '<p><a href="/">All apps</a></p></main></body></html>'
    ).encode()


def _problem(status: int, title: str, detail: str) -> bytes:
    return orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})


def state(status: int, name: str, value: bool) -> Reply:
    """An answer for probes."""
    kind = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    return Reply(status, kind, orjson.dumps({name: value}))


def text(status: int, words: str, headers: Headers = ()) -> Reply:
    """A plain line, for git."""
    kind = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))
    return Reply(status, kind + tuple(headers), words.encode() + b"\n")


def redirect(status: int, location: str, cookie: bytes = b"") -> Reply:
    """To another place; `cookie` is a whole Set-Cookie line."""
    headers = (
        ("Location", location),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
    )
    if cookie:
        headers += (("Set-Cookie", cookie.decode("latin-1").strip().partition(": ")[2]),)
    return Reply(status, headers, b"")


def to_login(path: str) -> Reply:
    return redirect(303, "/-/auth/login?next=" + quote(path, safe="/"))


def sign_in(html_wanted: bool) -> Reply:
    """401 for programs: which credential to send."""
    return notice(
        401,
        "Sign-in needed",
        "Send an API token as 'Authorization: Bearer TOKEN'; 'moorage login' makes one.",
        html_wanted,
        (("WWW-Authenticate", 'Bearer realm="Moorage"'),),
    )


def bad_token(html_wanted: bool) -> Reply:
    return notice(
        401,
        "Token not accepted",
        "This API token is unknown, expired or revoked; make another with 'moorage login'.",
        html_wanted,
        (("WWW-Authenticate", 'Bearer realm="Moorage", error="invalid_token"'),),
    )


def git_sign_in(sent: bool) -> Reply:
    """401 for git, which asks for a password then and shows a plain body as `remote:` lines."""
    words = (
        "This token is unknown, expired or revoked; run 'moorage login' to get a new one."
        if sent
        else "Sign in with any user name and an API token as password; 'moorage login' makes one."
    )
    return text(401, words, (("WWW-Authenticate", 'Basic realm="Moorage", charset="UTF-8"'),))


def unknown_app(name: str, html_wanted: bool) -> Reply:
    return notice(
        404,
        "No such app",
        f"There is no app called '{name}' here; check the address or pick one from the list.",
        html_wanted,
    )


def forbidden(app: str, html_wanted: bool) -> Reply:
    return notice(
        403,
        "Not open to you",
        f"You may not open '{app}'; ask its owner to share it with you.",
        html_wanted,
    )


def admins_only(html_wanted: bool) -> Reply:
    return notice(
        403, "For administrators", "It takes a platform administrator to see this.", html_wanted
    )


def lacks_scope(scope: str, html_wanted: bool) -> Reply:
    return notice(
        403,
        "Token not allowed",
        f"This needs a token with the scope '{scope}'; make one with 'moorage tokens'.",
        html_wanted,
    )


def cross_site(html_wanted: bool) -> Reply:
    return notice(
        403,
        "Sent from another site",
        "This was sent by a page of another site; open the platform itself and repeat it there.",
        html_wanted,
    )


def open_it_first(app: str, html_wanted: bool) -> Reply:
    return notice(
        403,
        "Open the app first",
        f"Open '/{app}/' in a window of its own; pages of other apps may not use it for you.",
        html_wanted,
    )


def too_many(app: str, wait: float, html_wanted: bool) -> Reply:
    seconds = max(1, round(wait + 0.5))
    return notice(
        429,
        "Too many requests",
        f"'{app}' takes no more requests from you for {seconds} s; slow down.",
        html_wanted,
        (("Retry-After", str(seconds)),),
    )


def overloaded(app: str, seconds: int, html_wanted: bool) -> Reply:
    return notice(
        503,
        "Busy",
        f"'{app}' has all the requests it may have under way; try again in a moment.",
        html_wanted,
        (("Retry-After", str(seconds)),),
    )


def too_large(app: str, most: int, html_wanted: bool) -> Reply:
    return notice(
        413,
        "Too large",
        f"'{app}' takes at most {most:,} bytes in one request; its owner can allow more.",
        html_wanted,
    )


def too_late(name: str, seconds: float, html_wanted: bool) -> Reply:
    return notice(
        504,
        "No answer",
        f"'{name}' did not begin to answer within {seconds:.0f} s; its logs may say why.",
        html_wanted,
    )


def no_host(app: str, html_wanted: bool) -> Reply:
    return notice(
        503,
        "Not served here",
        f"'{app}' is isolated and needs a host of its own; ask IT to set MOORAGE_APPS_DOMAIN.",
        html_wanted,
        (("Retry-After", "3600"),),
    )


def misdirected(url: str, html_wanted: bool) -> Reply:
    return notice(421, "At another address", f"Send this to {url} instead.", html_wanted)


def unknown_host(platform_url: str, html_wanted: bool) -> Reply:
    return notice(
        421, "Unknown host", f"Nothing is served under this name; see {platform_url}/.", html_wanted
    )


def starting(html_wanted: bool) -> Reply:
    return notice(
        503,
        "Starting",
        "The platform is starting and cannot sign anybody in yet; try again in a few seconds.",
        html_wanted,
        (("Retry-After", "2"),),
    )


def no_cookies(html_wanted: bool) -> Reply:
    return notice(
        400,
        "No cookie came back",
        "Allow cookies for this site, and open the app again from the list of apps.",
        html_wanted,
    )


_STATES = {
    "empty": ("Not deployed yet", "'{app}' has no release yet; push to it with git.", 30),
    "starting": ("Starting", "'{app}' is starting; try again in a few seconds.", 2),
    "stopped": ("Stopped", "'{app}' is stopped; ask its owner to start it.", 60),
    "crashed": ("Not running", "'{app}' has crashed and will be tried again.", 10),
    "running": ("Not answering", "'{app}' does not answer at the moment; try again shortly.", 2),
}


def no_target(route: Route, html_wanted: bool) -> Reply:
    """503 for an app that exists and does not answer, by its state."""
    title, words, seconds = _STATES.get(route.state, _STATES["running"])
    detail = words.format(app=route.app)
    if route.reason and route.state == "crashed":
        detail += f" The reason: {route.reason}"
    return notice(503, title, detail, html_wanted, (("Retry-After", str(seconds)),))


def no_service(service: str, html_wanted: bool) -> Reply:
    return notice(
        503,
        "Part of the platform is away",
        f"The {service} service does not answer; try again shortly. Running apps are not affected.",
        html_wanted,
        (("Retry-After", "2"),),
    )


def broken_answer(name: str, html_wanted: bool) -> Reply:
    return notice(
        502,
        "Broken answer",
        f"'{name}' closed the connection or answered what is not HTTP; look into its logs.",
        html_wanted,
    )


def refused(status: int, detail: str) -> Reply:
    """A request that is not passed on."""
    return notice(status, REASONS[status], detail, False)
