"""A client's request head: read strictly, and what of it may go on to a target."""

import base64
import binascii
import re
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from gateway.arrival import Hints
from gateway.cookies import Jar
from gateway.fields import (
    HOP_BY_HOP,
    MAX_FIELDS,
    TOKEN,
    BadHead,
    Memory,
    hop_options,
    is_host,
    length_of,
    read_line,
)
from gateway.tracing import sound
from gateway.ways import Way

TOKEN_PREFIX = b"mrg_"

# Methods are case-sensitive (RFC 9110, 9.1), but some servers take "get" for GET: it is refused.
_LINE = re.compile(rb"((?:(?![a-z])" + TOKEN + rb'){1,32}) ([!"$-~]+) HTTP/1\.([01])')
# What nearly all requests look like: nothing in their path needs a second look.
_PLAIN = re.compile(
    rb"(?!CONNECT |TRACE )([A-Z]{1,16}) "
    rb"((?:/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*)?)+)"
    rb'(\?[!"$-~]*)? HTTP/1\.1'
)
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
_DOTS = re.compile(rb"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_FIRST_ENCODED = re.compile(rb"/[^/]*(?:%2f|%5c|%00|\\)", re.IGNORECASE)

# Rewritten in their canonical form, or for the platform alone.
_OURS = HOP_BY_HOP | {
    b"authorization",
    b"content-length",
    b"cookie",
    b"expect",
    b"forwarded",
    b"script-name",
    b"traceparent",
    b"tracestate",
    b"transfer-encoding",
    b"x-original-url",
    b"x-real-ip",
    b"x-rewrite-url",
}
_FORGED = (b"x-forwarded-", b"x-moorage-")
_ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization", b"origin"))
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_READ = _ONCE.union(
    (b"connection", b"upgrade", b"expect", b"accept", b"cookie", b"referer"),
    (b"traceparent", b"tracestate"),
    (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"sec-purpose"),
    _FORWARDED,
)
_NO_HOST = b"localhost"
_BOTH = "Content-Length and Transfer-Encoding exclude each other."
_LENGTH = b"\r\nContent-Length: "
_FRAMES = frozenset((b"iframe", b"frame", b"embed", b"object", b"fencedframe"))


class Fetch(NamedTuple):
    """What a browser says of where a request comes from (W3C Fetch Metadata); `ahead` of a page
    that it only prepares to show."""

    site: bytes
    mode: bytes
    dest: bytes
    ahead: bool

    @property
    def from_here(self) -> bool:
        """Sent by a page of this very origin, or typed by a person."""
        return self.site in (b"same-origin", b"none")

    @property
    def navigates(self) -> bool:
        """Whether the answer becomes what a tab or a frame shows."""
        return self.mode == b"navigate"

    @property
    def framed(self) -> bool:
        return self.dest in _FRAMES


@dataclass(slots=True, eq=False)
class RequestFields:
    """What a header block says, and the block as targets may see it (each line ends with CRLF,
    Content-Length and Expect are left out).

    `length` is None without Content-Length. `token` is a platform token, from Bearer or from the
    password of Basic. `basic` says that Authorization was Basic of any kind. `fetch` is None for
    what is no browser, or one that does not trust the connection. `hints` are only as good as the
    peer that sent them, None if there are none. `for_app` lacks the platform's cookies and token;
    `for_auth` has them. `ways` is what was decided for requests with this block, by the peer and
    listener that it came over.
    """

    host: bytes
    length: int | None
    chunked: bool
    close: bool
    websocket: bool
    expects: bool
    html: bool
    jar: Jar
    token: bytes | None
    basic: bool
    origin: bytes | None
    referer: bytes
    fetch: Fetch | None
    hints: Hints | None
    trace: bytes | None
    for_app: bytes
    for_auth: bytes
    ways: dict[str, Way] = field(default_factory=dict[str, Way])


@dataclass(slots=True, eq=False)
class Request:
    """A request head. `path` begins with a slash and has no query; `query` keeps its `?`. `length`
    is the body's in bytes, None without Content-Length."""

    method: bytes
    path: bytes
    query: bytes
    minor: int
    length: int | None
    fields: RequestFields

    @property
    def has_body(self) -> bool:
        return self.fields.chunked or bool(self.length)

    @property
    def awaits_continue(self) -> bool:
        """100-continue means nothing without a body (RFC 9110, 10.1.1), and some servers wait for
        one then."""
        return self.fields.expects and self.has_body

    @property
    def keeps_alive(self) -> bool:
        return self.minor == 1 and not self.fields.close

    @property
    def upgrades(self) -> bool:
        """A WebSocket handshake (RFC 6455, 4.1): GET, HTTP/1.1, no body."""
        return (
            self.fields.websocket
            and self.method == b"GET"
            and self.minor == 1
            and not self.has_body
        )


@dataclass(slots=True, eq=False)
class Line:
    """A header line: its lower-cased name, its value, whether it goes on as it is."""

    name: bytes
    value: bytes
    goes_on: bool
    is_read: bool


PlainLine = tuple[bytes, bytes, bytes]
"""Method, path and query of a request line."""


class RequestReader:
    """Reads request heads; remembers lines and header blocks that it has read before."""

    def __init__(self) -> None:
        self._blocks: Memory[RequestFields] = Memory()
        self._lines: Memory[Line] = Memory()
        self._jars: Memory[Jar] = Memory()
        self._plain: Memory[PlainLine | None] = Memory(longest=256)

    def read(self, head: bytes) -> Request:
        """A request from its head, the last header's CRLF included and the empty line not."""
        end = head.find(b"\r\n")
        length: int | None = None
        if head[:1] == b"P":  # POST, PUT, PATCH
            length, fields = self._read_with_length(head[end:])
        else:
            fields = self._blocks.recall(head[end:], self._read_fields)
            length = fields.length
        line = self._plain.recall(head[:end], _read_plain)
        if line is not None and fields.host:
            method, path, query = line
            return Request(method, path, query, 1, length, fields)
        found = _LINE.fullmatch(head, 0, end)
        if found is None:
            raise BadHead("The request line is not method, target and HTTP/1.1.")
        method, target, minor = found.groups()
        return _request(method, target, 1 if minor == b"1" else 0, length, fields)

    def _read_with_length(self, block: bytes) -> tuple[int | None, RequestFields]:
        """Take Content-Length out before the block is looked up: from one request to the next it
        is often all that changes."""
        start = block.find(_LENGTH)
        end = -1 if start < 0 else block.find(b"\r\n", start + len(_LENGTH))
        if end < 0:
            fields = self._blocks.recall(block, self._read_fields)
            return fields.length, fields
        length = length_of(block[start + len(_LENGTH) : end].strip(b" \t"))
        fields = self._blocks.recall(block[:start] + block[end:], self._read_fields)
        if fields.length is not None:
            raise BadHead("Content-Length is given more than once.")
        if fields.chunked:
            raise BadHead(_BOTH)
        return length, fields

    def _read_fields(self, block: bytes) -> RequestFields:
        """A request's header block; BadHead for what parsers disagree about."""
        texts = block[2:-2].split(b"\r\n") if len(block) > 2 else []
        if len(texts) > MAX_FIELDS:
            raise BadHead("There are too many headers.", 431)
        found: dict[bytes, bytes] = {}
        lines = [self._lines.recall(text, _read_line) for text in texts]
        for line in lines:
            if line.is_read:
                found[line.name] = _joined(line, found)
        return self._verdict(texts, lines, found)

    def _verdict(
        self, texts: list[bytes], lines: list[Line], found: dict[bytes, bytes]
    ) -> RequestFields:
        get = found.get
        length, chunked = _framing(found)
        hops = hop_options(get(b"connection", b""))
        expects = _expectation(found)
        authorization, cookies = get(b"authorization", b""), get(b"cookie", b"")
        token = _platform_token(authorization) if authorization else None
        jar = self._jars.recall(cookies, Jar)
        trace = _trace(get(b"traceparent", b""))
        kept = _kept(texts, lines, hops)
        if trace:  # another vendor's state belongs to its trace (W3C Trace Context, 3.3)
            kept += _line(b"tracestate", get(b"tracestate", b""))
        if chunked:
            kept += b"Transfer-Encoding: chunked\r\n"
        own = b"" if token else _line(b"Authorization", authorization)
        return RequestFields(
            host=_host(found),
            length=length,
            chunked=chunked,
            close=b"close" in hops,
            websocket=b"upgrade" in hops and get(b"upgrade", b"").lower() == b"websocket",
            expects=expects,
            html=b"text/html" in get(b"accept", b"").lower(),
            jar=jar,
            token=token,
            basic=authorization[:6].lower() == b"basic ",
            origin=get(b"origin"),
            referer=get(b"referer", b""),
            fetch=_fetch(found),
            hints=_hints(found),
            trace=trace,
            for_app=kept + own + _line(b"Cookie", jar.others),
            for_auth=kept + _line(b"Authorization", authorization) + _line(b"Cookie", cookies),
        )


def _request(
    method: bytes, target: bytes, minor: int, length: int | None, fields: RequestFields
) -> Request:
    if method in (b"CONNECT", b"TRACE"):
        raise BadHead("This method is not served here.", 405)
    if not fields.host:
        if minor == 1:
            raise BadHead("Host is missing.")
        fields = _with_host(fields)
    if minor == 0 and fields.chunked:
        raise BadHead("HTTP/1.0 has no chunked bodies.")
    if target[:1] != b"/":
        target = _origin_form(method, target, fields.host)
    path, mark, query = target.partition(b"?")
    _check_path(path)
    return Request(method, path, mark + query, minor, length, fields)


def _with_host(fields: RequestFields) -> RequestFields:
    """HTTP/1.0 knows no Host; what goes on as HTTP/1.1 must have one (RFC 9112, 3.2)."""
    line = b"Host: %b\r\n" % _NO_HOST
    named = replace(
        fields, host=_NO_HOST, for_app=line + fields.for_app, for_auth=line + fields.for_auth
    )
    named.ways = {}
    return named


def _origin_form(method: bytes, target: bytes, host: bytes) -> bytes:
    """The absolute form is taken when it names the same authority as Host (RFC 9112, 3.2.2)."""
    if target == b"*" and method == b"OPTIONS":
        return b"/*"
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadHead("The request target must begin with a slash.")
    authority, path = absolute.groups()
    if authority.lower() != host.lower():
        raise BadHead("The request target names another host than Host does.")
    return path if path.startswith(b"/") else b"/" + path


def _check_path(path: bytes) -> None:
    """Refuse what could lead an app, but not us, to another first segment."""
    if (b"." in path or b"%2" in path) and _DOTS.search(path):
        raise BadHead("The path has dot segments; send the resolved path.")
    if (b"%" in path or b"\\" in path) and _FIRST_ENCODED.match(path):
        raise BadHead("The first path segment holds an encoded slash or a backslash.")


def _read_plain(line: bytes) -> PlainLine | None:
    """A request line that needs no second look; None if it does."""
    found = _PLAIN.fullmatch(line)
    if found is None:
        return None
    method, path, query = found.groups(b"")
    return method, path, query


def _read_line(text: bytes) -> Line:
    """Names with an underscore never go on: WSGI and CGI cannot tell X_Moorage_User from
    X-Moorage-User."""
    name, value = read_line(text)
    goes_on = name not in _OURS and not name.startswith(_FORGED) and b"_" not in name
    return Line(name, value, goes_on, name in _READ)


def _joined(line: Line, found: dict[bytes, bytes]) -> bytes:
    """The value of a header that may be given more than once, or BadHead if it may not."""
    name, before = line.name, found.get(line.name)
    if before is None:
        return line.value
    if name in _ONCE:
        raise BadHead(f"{name.decode().title()} is given more than once.")
    return before + (b"; " if name == b"cookie" else b", ") + line.value


def _framing(found: dict[bytes, bytes]) -> tuple[int | None, bool]:
    """Length and chunkedness; both at once, or any coding but chunked, is refused (RFC 9112, 6)."""
    coding = found.get(b"transfer-encoding")
    length = found.get(b"content-length")
    if coding is not None and length is not None:
        raise BadHead(_BOTH)
    if coding is not None and coding.lower() != b"chunked":
        raise BadHead("No Transfer-Encoding but chunked is known here.", 501)
    return (None if length is None else length_of(length)), coding is not None


def _host(found: dict[bytes, bytes]) -> bytes:
    host = found.get(b"host", b"")
    if host and not is_host(host):
        raise BadHead("Host is not a host name and port.")
    return host


def _expectation(found: dict[bytes, bytes]) -> bool:
    expect = found.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise BadHead("No expectation but 100-continue can be met.", 417)
    return expect is not None


def _fetch(found: dict[bytes, bytes]) -> Fetch | None:
    site = found.get(b"sec-fetch-site")
    if site is None:
        return None
    return Fetch(
        site,
        found.get(b"sec-fetch-mode", b""),
        found.get(b"sec-fetch-dest", b""),
        b"sec-purpose" in found,
    )


def _trace(value: bytes) -> bytes | None:
    return value if sound(value) else None


def _hints(found: dict[bytes, bytes]) -> Hints | None:
    values = [found.get(name, b"") for name in _FORWARDED]
    return Hints(*values) if any(values) else None


def _kept(texts: list[bytes], lines: list[Line], hops: list[bytes]) -> bytes:
    """The lines that go on as they are, but those that Connection names."""
    named = frozenset(hops)
    kept = [
        text
        for text, line in zip(texts, lines, strict=True)
        if line.goes_on and line.name not in named
    ]
    return b"\r\n".join(kept) + b"\r\n" if kept else b""


def _line(name: bytes, value: bytes) -> bytes:
    return name + b": " + value + b"\r\n" if value else b""


def _platform_token(authorization: bytes) -> bytes | None:
    """A token of ours in Bearer, or as the password in Basic (git's way); else None."""
    scheme, _, rest = authorization.partition(b" ")
    rest = rest.strip(b" ")
    if scheme.lower() == b"basic":
        try:
            rest = base64.b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            return None
    elif scheme.lower() != b"bearer":
        return None
    return rest if rest.startswith(TOKEN_PREFIX) else None
