"""What a case of the conformance suite is, and short words to write one with."""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.gateway.conformance.conversation import Await, Script

END_OF_HEAD = Await(b"\r\n\r\n")


@dataclass(frozen=True)
class Other:
    """Where nginx decides otherwise: what it does, and why we do not."""

    why: str
    says: str | None = None
    app: tuple[str, ...] | None = None
    holds: bool = True
    """Does it at least hold what the case says of the bytes on both sides?"""


@dataclass(frozen=True)
class Case:
    """A conversation through a proxy and what must come of it.

    The proxy leads `/a/` to an app, which follows its script on its first connection and answers
    all further requests with their line and body. `says` is what the client sees: the statuses of
    all answers, "cut" behind one that breaks off, and how the connection ends, if it does; if it
    does not, one more request on it must get its own answer. (Of nginx also: "desynced" if that
    request does not, "garbled" for an answer that is not HTTP/1.) `app` is what the app sees, "cut"
    behind a request whose body breaks off. `carries` and `lacks` are bytes that must, and must not,
    reach the app; `brings` and `spares` the same of the client.
    """

    name: str
    client: Script
    app_says: Script = ()
    says: str = "200"
    app: tuple[str, ...] = ("GET /a/",)
    carries: tuple[bytes, ...] = ()
    lacks: tuple[bytes, ...] = ()
    brings: tuple[bytes, ...] = ()
    spares: tuple[bytes, ...] = ()
    methods: tuple[str, ...] = ("GET",)
    then: Script = ()
    """What a second client sends after the first is done; it gets 200."""
    connections: int | None = None
    """How many connections the app may see in all."""
    nginx: Other | None = None
    """None: nginx does the same."""


def get(*lines: str, path: str = "/a/", version: str = "1.1", method: str = "GET") -> bytes:
    """A request head; Host is there already."""
    return _head(f"{method} {path} HTTP/{version}", ("Host: h", *lines))


def post(*lines: str, body: bytes = b"", path: str = "/a/", version: str = "1.1") -> bytes:
    return _head(f"POST {path} HTTP/{version}", ("Host: h", *lines)) + body


def ok(*lines: str, body: bytes = b"", status: str = "200 OK", version: str = "1.1") -> bytes:
    """An answer of the app."""
    return _head(f"HTTP/{version} {status}", lines) + body


def sized(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    """An answer with its length."""
    return ok(f"Content-Length: {len(body)}", *lines, body=body, status=status)


def _head(*parts: str | tuple[str, ...]) -> bytes:
    first, lines = parts
    assert isinstance(first, str)
    return ("\r\n".join((first, *lines)) + "\r\n\r\n").encode("latin-1")


CLOSE = "Connection: close"
CHUNKED = "Transfer-Encoding: chunked"
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
SWITCHED = ok("Connection: Upgrade", "Upgrade: websocket", status="101 Switching Protocols")
