"""A target's response head: targets are no more to be trusted than clients."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.cookies import is_own
from gateway.fields import (
    HOP_BY_HOP,
    BadHead,
    Memory,
    hop_options,
    length_of,
    split,
    value_of,
)

_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_OURS = HOP_BY_HOP | {b"content-length", b"transfer-encoding"}
# What would reach beyond the app that sends it: all sites of the domain, every app of the origin.
_NEVER = frozenset(
    (b"alt-svc", b"clear-site-data", b"nel", b"public-key-pins", b"strict-transport-security")
)
# Where apps share an origin, a service worker must stay below its app's path, and windows are
# kept apart by the gateway.
_NOT_FOR_PATHS = _NEVER | {b"service-worker-allowed", b"cross-origin-opener-policy"}
_READ = frozenset((b"content-length", b"transfer-encoding", b"connection", b"content-type"))


@dataclass(slots=True, eq=False)
class ResponseFields:
    """What a response's header block says. The blocks lack framing and hop-by-hop headers.

    `from_app` and, for apps that share an origin, `from_path` lack cookies and what an app must not
    say; `cookies` are the app's Set-Cookie lines, without CRLF. `from_platform` has everything.
    """

    length: int | None
    length_line: bytes
    chunked: bool
    close: bool
    keep_alive: bool
    websocket: bool
    event_stream: bool
    html: bool
    from_app: bytes
    from_path: bytes
    from_platform: bytes
    cookies: tuple[bytes, ...]


class Response:
    """A response head; `reason` may be empty. `starts` is for `answers`, which forms the beginning
    of an answer once for all that are alike. `plain_length` is -1, unless the body (of any request
    but HEAD) is simply as long as Content-Length says. `names_body` is for answers that have none
    (to HEAD, or 204 and 304): the header says that there is more than nothing."""

    __slots__ = (
        "fields", "keeps_alive", "minor", "names_body", "plain_length", "reason", "starts",
        "status",
    )  # fmt: skip

    def __init__(self, status: int, reason: bytes, minor: int, fields: ResponseFields) -> None:
        self.status = status
        self.reason = reason
        self.minor = minor
        self.fields = fields
        self.keeps_alive = minor == 1 and not fields.close
        self.starts: list[bytes] = [b"", b"", b""]
        self.names_body = fields.chunked or bool(fields.length)
        bodiless = status in (204, 304) or fields.event_stream or fields.length is None
        self.plain_length = -1 if bodiless else fields.length


class ResponseReader:
    """Reads response heads; remembers heads that it has read before."""

    def __init__(self) -> None:
        self._memory: Memory[Response] = Memory(most=1024, longest=2048)

    def read(self, head: bytes) -> Response:
        """A response from its head, the last header's CRLF included and the empty line not."""
        return self._memory.recall(head, _read)


def _read(head: bytes) -> Response:
    end = head.find(b"\r\n")
    line = _LINE.fullmatch(head, 0, end)
    if line is None:
        raise BadHead("The status line is not HTTP/1.1 and a status.", 502)
    minor, status, reason = line.groups()
    return Response(int(status), reason or b"", 1 if minor == b"1" else 0, read_fields(head[end:]))


def read_fields(block: bytes) -> ResponseFields:
    """A response's header block; BadHead when its framing is ambiguous."""
    names, lines = split(block)
    found: dict[bytes, bytes] = {}
    for name, line in zip(names, lines, strict=True):
        if name in _READ:
            _note(found, name, value_of(name, line))
    coding, length = found.get(b"transfer-encoding"), found.get(b"content-length")
    if coding is not None and (length is not None or coding.lower() != b"chunked"):
        raise BadHead("The response's framing is ambiguous.", 502)
    hops = frozenset(hop_options(found.get(b"connection", b"")))
    kept = _kept(names, lines, hops)
    kind = found.get(b"content-type", b"").lower()
    size = None if length is None else length_of(length)
    return ResponseFields(
        length=size,
        length_line=b"" if size is None else b"Content-Length: %d\r\n" % size,
        chunked=coding is not None,
        close=b"close" in hops,
        keep_alive=b"keep-alive" in hops,
        websocket=b"upgrade" in hops and _upgrades_to_websocket(names, lines),
        event_stream=kind.startswith(b"text/event-stream"),
        html=kind.startswith((b"text/html", b"application/xhtml")),
        from_app=_without(kept, _NEVER | {b"set-cookie"}),
        from_path=_without(kept, _NOT_FOR_PATHS | {b"set-cookie"}),
        from_platform=_without(kept, frozenset()),
        cookies=tuple(line for name, line in kept if name == b"set-cookie" and not is_own(line)),
    )


def _note(found: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    if name in found and name in (b"content-length", b"transfer-encoding"):
        raise BadHead(f"{name.decode().title()} is given more than once.", 502)
    found[name] = found[name] + b", " + value if name in found else value


def _kept(
    names: list[bytes], lines: list[bytes], hops: frozenset[bytes]
) -> list[tuple[bytes, bytes]]:
    return [
        (name, line)
        for name, line in zip(names, lines, strict=True)
        if name not in _OURS and name not in hops
    ]


def _upgrades_to_websocket(names: list[bytes], lines: list[bytes]) -> bool:
    values = [
        value_of(name, line) for name, line in zip(names, lines, strict=True) if name == b"upgrade"
    ]
    return len(values) == 1 and values[0].lower() == b"websocket"


def _without(lines: Iterable[tuple[bytes, bytes]], names: frozenset[bytes]) -> bytes:
    text = b"\r\n".join(line for name, line in lines if name not in names)
    return text + b"\r\n" if text else b""
